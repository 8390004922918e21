"""Readies the numerical backend of Keras in a process, before anything imports Keras.

Threads and determinism are part of a network's bits and must be fixed before the backend starts,
so a worker calls ``prepare_backend`` first and once.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Literal, cast

from kidsclf.errors import ConfigError, PlanError

KerasBackend = Literal["tensorflow", "jax", "torch"]
Backend = Literal[KerasBackend, "openvino"]
"""What answers. OpenVINO, which only answers, does so beside Keras on TensorFlow."""
BACKENDS: tuple[Backend, ...] = ("tensorflow", "jax", "torch", "openvino")
Precision = Literal["float32", "bfloat16"]

_BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""As Linux names them, of x86 and of ARM."""
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "bad_alloc", "can't allocate memory")
"""As JAX, OpenVINO, and PyTorch's ``DefaultCPUAllocator`` say it."""
_AMPERE = (8, 0)
"""The first NVIDIA architecture that multiplies bfloat16 in hardware."""


def prepare_backend(backend: Backend, threads: int) -> None:
    """Choose the backend, its threads, and operations that give the same bits each time.

    Calling it again with the same arguments does nothing.

    Parameters
    ----------
    backend : {"tensorflow", "jax", "torch", "openvino"}
    threads : int
        Threads of one operation. Sums are split among them, so their number is part of the
        answer's last bits. JAX takes all that its process may use.

    Raises
    ------
    ConfigError
        If the backend is not installed.
    PlanError
        If this process already runs Keras on another backend or with other threads.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    beneath: KerasBackend = "tensorflow" if backend == "openvino" else backend
    os.environ["KERAS_BACKEND"] = beneath
    if "keras" in sys.modules and sys.modules["keras"].config.backend() != beneath:
        found = sys.modules["keras"].config.backend()
        raise PlanError(
            f"Keras on {beneath} was asked for, but this process runs it on {found}; start a new "
            "process"
        )
    if backend == "openvino":
        _keep_use_to_ourselves()
    try:
        with _quiet_start():
            importlib.import_module(beneath)
            importlib.import_module(backend)
    except ImportError as error:
        raise _not_installed(backend) from error
    if beneath == "tensorflow":
        _prepare_tensorflow(threads)
    elif beneath == "torch":
        _prepare_torch(threads)
    else:
        _prepare_jax()


def check_installed(backend: Backend) -> None:
    """Make sure that the package of a backend is here; nothing is imported.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if importlib.util.find_spec(backend) is None:
        raise _not_installed(backend)


def _not_installed(backend: Backend) -> ConfigError:
    return ConfigError(
        f"infer.backend = {backend!r} was asked for, but that package is not installed; "
        f"install {'kidsclf[openvino]' if backend == 'openvino' else 'it'} or use 'tensorflow'"
    )


def installed_backends() -> tuple[Backend, ...]:
    """Name the backends whose package is here; nothing is imported."""
    return tuple(each for each in BACKENDS if importlib.util.find_spec(each) is not None)


def running_backend() -> Backend:
    """Name what Keras, which is imported, computes with in this process."""
    found: Backend = sys.modules["keras"].config.backend()
    return found


def is_out_of_memory(error: Exception) -> bool:
    """Say whether a backend failed because its device has no memory left, or the process none.

    TensorFlow has an exception of its own for it, and PyTorch for cards; JAX, OpenVINO and PyTorch
    on a processor have a text.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    told = any(each in str(error) for each in _OUT_OF_MEMORY)
    return told or bool(names & {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"})


def has_accelerator(backend: Backend) -> bool:
    """Say whether a backend that is ready computes elsewhere than on the processor."""
    if backend == "openvino":
        return False
    module = importlib.import_module(backend)
    if backend == "tensorflow":
        return bool(module.config.list_physical_devices("GPU"))
    if backend == "jax":
        return str(module.default_backend()) != "cpu"
    return bool(module.cuda.is_available())


def choose_precision(wanted: Precision | Literal["auto"], backend: Backend) -> Precision:
    """Say in which precision a network's products are to be computed here.

    Parameters
    ----------
    wanted : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 where the hardware multiplies it and the backend makes use of that.
    backend : {"tensorflow", "jax", "torch", "openvino"}
        Ready to use.
    """
    if wanted != "auto":
        return wanted
    if has_accelerator(backend):
        return "bfloat16" if _accelerator_has_bfloat16(backend) else "float32"
    # XLA turns bfloat16 into float32 and back around each product on a processor.
    return "bfloat16" if backend != "jax" and _processor_has_bfloat16() else "float32"


def _accelerator_has_bfloat16(backend: Backend) -> bool:
    module = importlib.import_module(backend)
    if backend == "tensorflow":
        device = module.config.list_physical_devices("GPU")[0]
        details = module.config.experimental.get_device_details(device)
        return bool(details.get("compute_capability", (0, 0)) >= _AMPERE)
    if backend == "jax":
        capability = getattr(module.devices()[0], "compute_capability", "0.0")
        return tuple(map(int, str(capability).split("."))) >= _AMPERE
    return bool(module.cuda.is_bf16_supported())


def _processor_has_bfloat16() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    words = {
        word
        for line in lines
        if line.startswith(("flags", "Features"))
        for word in line.partition(":")[2].split()
    }
    return bool(words & _BFLOAT16_INSTRUCTIONS)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what native libraries write while they load from the terminal.

    TensorFlow greets on file descriptor 2 before its own log level counts. An error to import
    still comes as an exception.
    """
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _keep_use_to_ourselves() -> None:
    """Let OpenVINO find no telemetry, by which it would tell its makers that it is imported."""
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))


def _prepare_tensorflow(threads: int) -> None:
    import tensorflow  # noqa: PLC0415  (heavy; only where this backend is chosen)

    # It warns on standard error when several networks are loaded, each of which it compiles anew.
    tensorflow.get_logger().setLevel("ERROR")
    settings = tensorflow.config
    found = settings.threading.get_intra_op_parallelism_threads()
    if found != threads:
        try:
            settings.threading.set_intra_op_parallelism_threads(threads)
            # One operation after another: the branches of a network are too small to overlap.
            settings.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            raise PlanError(
                f"TensorFlow with {threads} threads was asked for, but this process runs it with "
                f"{found or 'its own choice of'} threads; start a new process"
            ) from error
        for device in settings.list_physical_devices("GPU"):
            # Its default is to seize the whole card, which other workers may share.
            settings.experimental.set_memory_growth(device, True)
    settings.experimental.enable_op_determinism()


def _prepare_jax() -> None:
    """Keep what XLA compiles, seconds to minutes a network, for the next process of this user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    settings = importlib.import_module("jax").config
    settings.update("jax_compilation_cache_dir", str(cache / "kidsclf" / "jax"))


def _prepare_torch(threads: int) -> None:
    # Without it cuBLAS may answer otherwise each time, and PyTorch refuses to ask it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # With that it fills with NaN whatever memory it asks for, to show who reads it unwritten.
    # Keras' operations do not: the same bits, 1.09 times as fast with mnn in bfloat16.
    torch.utils.deterministic.fill_uninitialized_memory = False
