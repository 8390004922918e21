#!/usr/bin/env bash
# Install Debian packages that are missing; without names, those that some tests need.
#
#   debian_packages.sh [PACKAGE ...]
#
# Says nothing when all are there. For the tests' own packages it never fails: where they cannot be
# installed it says which tests will skip. For packages named on the command line it does fail.
set -euo pipefail

declare -A tests_that_need=(
    [ceph-mon]="a real S3 server (marker 's3')"
    [ceph-osd]="a real S3 server (marker 's3')"
    [chromium]="the report page in a browser (marker 'browser')"
    [fitsverify]="FITS products held against fitsverify"
    [munge]="a real Slurm (marker 'slurm')"
    [slurmctld]="a real Slurm (marker 'slurm')"
    [slurmd]="a real Slurm (marker 'slurm')"
    [slurm-client]="a real Slurm (marker 'slurm')"
    [radosgw]="a real S3 server (marker 's3')"
    [stilts]="matches held against STILTS (marker 'stilts')"
)

say() { echo "== debian packages: $*"; }
installed() { [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]; }

named=${1:-}
wanted=("$@")
((${#wanted[@]})) || wanted=(ceph-mon ceph-osd chromium fitsverify munge slurmctld slurmd slurm-client radosgw stilts)

missing=()
for package in "${wanted[@]}"; do
    installed "$package" || missing+=("$package")
done
((${#missing[@]})) || exit 0

give_up() {  # reason
    if [[ -n $named ]]; then
        say "cannot install ${missing[*]}: $1; install them by hand" >&2
        exit 1
    fi
    say "cannot install ${missing[*]}: $1; these tests will skip:"
    for package in "${missing[@]}"; do echo "     ${tests_that_need[$package]}"; done | sort -u
    exit 0
}

command -v apt-get >/dev/null || give_up "this is not a Debian system"
((EUID == 0)) || give_up "not running as root"

say "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    give_up "apt-get failed"
fi
