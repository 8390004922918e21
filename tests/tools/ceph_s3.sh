#!/usr/bin/env bash
# A real S3 server on loopback, of one Debian machine: Ceph with one monitor, one OSD that keeps its
# objects in memory, and the RADOS gateway, which speaks S3. Needs the packages ceph-mon, ceph-osd
# and radosgw; not systemd.
#
#   ceph_s3.sh start FOLDER          start all; prints the gateway's address
#   ceph_s3.sh stop FOLDER           stop all and remove FOLDER
#   ceph_s3.sh kill-gateway FOLDER   kill the gateway (SIGKILL); what it stored stays
#   ceph_s3.sh start-gateway FOLDER  start it again at the same address
#
# Two users: owner/owner-secret, and stranger/stranger-secret, who may not touch the first one's
# buckets. Processes are stopped by the ids that they left in FOLDER.
set -euo pipefail

command=${1:?start, stop, kill-gateway or start-gateway}
folder=$(realpath -m "${2:?folder}")
conf=$folder/ceph.conf

free_ports() {  # how many
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

write_settings() {
    local monitor gateway
    read -r monitor gateway < <(free_ports 2)
    echo "http://127.0.0.1:$gateway" >"$folder/address"
    cat >"$conf" <<SETTINGS
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = v2:127.0.0.1:$monitor
mon_initial_members = a
public_addr = 127.0.0.1
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = $folder
admin_socket =
pid_file = $folder/\$name.pid
log_file = $folder/\$name.log
log_to_stderr = false
err_to_stderr = false
crash_dir = $folder
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
[mon]
mon_data = $folder/mon
mon_data_avail_crit = 1
mon_warn_on_insecure_global_id_reclaim = false
[osd]
osd_data = $folder/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_class_load_list = *
osd_class_default_list = *
[client.gateway]
rgw_data = $folder
ms_mon_client_mode = crc
rgw_frontends = beast endpoint=127.0.0.1:$gateway tcp_nodelay=1
rgw_thread_pool_size = 32
rgw_dns_name = 127.0.0.1
rgw_enable_usage_log = false
rgw_override_bucket_index_max_shards = 1
SETTINGS
}

start_monitor() {
    mkdir -p "$folder/mon" "$folder/osd"
    local address
    address=$(sed -n 's/^mon_host = //p' "$conf")
    monmaptool --create --addv a "[$address]" --fsid "$(sed -n 's/^fsid = //p' "$conf")" \
        "$folder/monmap" >/dev/null
    ceph-mon -c "$conf" --mkfs -i a --monmap "$folder/monmap"
    ceph-mon -c "$conf" -i a
}

start_osd() {
    local id
    id=$(cat /proc/sys/kernel/random/uuid)
    timeout 180 ceph -c "$conf" osd new "$id" >/dev/null
    timeout 180 ceph -c "$conf" osd crush add osd.0 1.0 root=default host=localhost 2>/dev/null
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$id"
    ceph-osd -c "$conf" -i 0 >/dev/null
}

start_gateway() {
    radosgw -c "$conf" -n client.gateway
    local address
    address=$(cat "$folder/address")
    for _ in $(seq 900); do
        if python3 -c "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)" \
            "$address" 2>/dev/null; then
            return
        fi
        sleep 0.2
    done
    tail -n 20 "$folder"/*.log >&2
    echo "the gateway did not answer at $address" >&2
    exit 1
}

add_user() {  # name
    timeout 180 radosgw-admin -c "$conf" -n client.gateway user create --uid="$1" \
        --display-name="$1" --access-key="$1" --secret-key="$1-secret" >/dev/null
}

end() {  # signal, name: by the id in its file, if that is still the same program
    local file=$folder/$2.pid pid
    [[ -s $file ]] || return 0
    pid=$(cat "$file")
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$conf"; then
        kill "-$1" "$pid"
        while [[ -d /proc/$pid ]] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; do
            sleep 0.1
        done
    fi
    rm -f "$file"
}

case $command in
start)
    mkdir -p "$folder"
    write_settings
    start_monitor
    start_osd
    add_user owner
    add_user stranger
    start_gateway
    cat "$folder/address"
    ;;
kill-gateway) end KILL client.gateway ;;
start-gateway) start_gateway ;;
stop)
    for name in client.gateway osd.0 mon.a; do end KILL "$name"; done
    rm -rf "$folder"
    ;;
*)
    echo "$command is none of start, stop, kill-gateway, start-gateway" >&2
    exit 2
    ;;
esac
