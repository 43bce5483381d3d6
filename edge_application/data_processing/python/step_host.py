"""Runs the Python functions of a package's custom steps. Started by verge-step-worker, confined already.

The kernel is the barrier. What is refused here is refused only to say more precisely what a step did.
Usage: step_host.py CHANNEL     the number of a socket; src/step_frame.hpp says what goes over it.
"""

import array
import importlib.util
import json
import mmap
import os
import socket
import struct
import sys
import traceback

try:
    import numpy
except ImportError:  # Then functions get memoryviews.
    numpy = None

FRAME = struct.Struct("=IIIIIIQ")
TENSOR = struct.Struct("=II8qQQ")
LOAD, GIVEN, MADE, PREPROCESS, POSTPROCESS, ANSWER = 1, 2, 3, 4, 5, 6
OK, UNUSABLE, RAISED, WRONG, ENDED, NO_MEMORY = range(6)
PACKET_LIMIT_BYTES = 160 << 10
JSON_LIMIT_BYTES = 1 << 20
TEXT_LIMIT_BYTES = 6 << 10
ALIGNMENT = 64
# By the number of the element type: its name, its form in a buffer.
TYPES = [("BOOL", "?"), ("UINT8", "B"), ("UINT16", "H"), ("UINT32", "I"), ("UINT64", "Q"), ("INT8", "b"), ("INT16", "h"),
         ("INT32", "i"), ("INT64", "q"), ("FP16", "e"), ("FP32", "f"), ("FP64", "d"), ("BF16", "H")]
BF16 = 12
SAME_FORM = {"l": "q", "L": "Q", "c": "B"}

exit_now = os._exit


class Wrong(Exception):
    """A result that is not what a step gives; the text says what was expected and what came."""


class Words:
    """Standard output and error of the functions: kept for the next error, as far as there is room."""

    encoding = "utf-8"

    def write(self, text):
        try:
            os.write(2, text.encode("utf-8", "replace")[:4096])
        except OSError:
            pass
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


class Guard:
    """Ends the process when a function does what the kernel would refuse, and says what it was."""

    PROCESSES = ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen", "pty.spawn")
    CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
               "os.chown", "os.utime", "os.setxattr", "os.removexattr", "shutil.rmtree", "shutil.move")
    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self, package, readable, end):
        self.package, self.end = package, end
        self.allowed = sorted({os.path.realpath(path) for path in (package, *readable)})
        self.lexical = [package] + [os.path.normpath(path) for path in readable]

    def hook(self, event, arguments):
        if event == "open":
            self.opened(*arguments)
        elif event in ("os.listdir", "os.scandir"):
            self.read(arguments[0] if arguments[0] is not None else ".", "listed")
        elif event.startswith("socket.") and event != "socket.gethostname":
            self.end(f"opened a socket or a connection ({event})")
        elif event in self.PROCESSES:
            self.end(f"started a process ({event})")
        elif event in self.CHANGES:
            self.end(f"changed files ({event} on {arguments[0]!r})")
        elif event == "os.kill" and arguments[0] != os.getpid():
            self.end("sent a signal to another process (os.kill)")

    def opened(self, path, mode, flags):
        if isinstance(path, int):
            return
        if flags is not None and flags & self.WRITES:
            self.end(f"opened {self.shown(path)} for writing")
        self.read(path, "opened")

    def read(self, path, done):
        if isinstance(path, int):
            return
        path = os.path.abspath(os.fsdecode(path))
        if self.inside(path, self.lexical) or self.inside(os.path.realpath(path), self.allowed):
            return
        self.end(f"{done} {self.shown(path)}, which is outside the package")

    @staticmethod
    def inside(path, folders):
        return any(path == folder or path.startswith(folder + "/") for folder in folders)

    @staticmethod
    def shown(path):
        return repr(os.fsdecode(path))[:512]


class Host:
    def __init__(self, channel):
        self.channel = channel
        self.package = ""
        self.functions = {}
        self.inputs, self.outputs, self.image = [], [], False
        self.given = self.made = None

    def serve(self):
        while True:
            packet, ancillary, _, _ = self.channel.recvmsg(PACKET_LIMIT_BYTES, socket.CMSG_SPACE(4))
            if len(packet) < FRAME.size:
                return
            descriptors = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(data[:4])
            kind, _, count, width, height, _, size = FRAME.unpack_from(packet)
            content = packet[FRAME.size:]
            if kind == LOAD:
                self.answer(lambda: self.load(json.loads(content)), UNUSABLE)
            elif kind in (GIVEN, MADE):
                self.take(kind, descriptors[0], size)
            elif kind == PREPROCESS:
                self.answer(lambda: self.preprocess(width, height, size))
            elif kind == POSTPROCESS:
                self.answer(lambda: self.postprocess(count, width, height, content))

    def say(self, status, text="", count=0, size=0, content=b""):
        head = FRAME.pack(ANSWER, status, count, 0, 0, 0, size)
        self.channel.send(head + (content or text.encode("utf-8", "replace")[:TEXT_LIMIT_BYTES]))

    def end(self, what):
        self.say(ENDED, what)
        exit_now(1)

    def answer(self, work, failed=RAISED):
        """Does it, and says what came of it."""
        try:
            work()
        except MemoryError as error:
            text = str(error)
            error.__traceback__ = None
            self.say(NO_MEMORY, "needed more memory than 'memory_limit_bytes' allows" + (f" ({text})" if text else ""))
            exit_now(1)
        except Wrong as wrong:
            self.say(WRONG, str(wrong))
        except BaseException as error:  # Whatever it is, it is the function's, and its caller is to know of it.
            self.say(failed, self.told(error))

    def told(self, error):
        """The exception and where it came from, without this program's own lines."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        lines = traceback.format_exception_only(type(error), error)
        text = "".join(lines).strip() + "".join(
            f"\n  {frame.filename.removeprefix(self.package + '/')}, line {frame.lineno}, in {frame.name}: {frame.line}"
            for frame in frames[-12:])
        return text

    # --- loading

    def load(self, order):
        self.package, self.image = order["package"], order["image"]
        self.inputs, self.outputs = order["inputs"], order["outputs"]
        guard = Guard(self.package, order["readable"], self.end)
        sys.addaudithook(guard.hook)
        modules = {}
        for name in ("preprocess", "postprocess"):
            if name in order:
                file, function = order[name]["file"], order[name]["function"]
                if file not in modules:
                    modules[file] = self.module(file)
                found = getattr(modules[file], function, None)
                if not callable(found):
                    named = [n for n, v in vars(modules[file]).items() if callable(v) and not n.startswith("_")]
                    raise NameError(f"expected a function '{function}' in '{file}', got {', '.join(named) or 'none'}")
                self.functions[name] = found
        self.say(OK)

    def module(self, file):
        path = os.path.join(self.package, file)
        folder = os.path.dirname(path)
        if folder not in sys.path:
            sys.path.insert(0, folder)  # So that it may import what lies beside it.
        name = os.path.splitext(os.path.basename(file))[0]
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def take(self, kind, descriptor, size):
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if kind == MADE else 0)
        memory = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=protection)
        os.close(descriptor)
        if kind == MADE:
            self.made = memory
        else:
            self.given = memory

    # --- what functions get

    def view(self, datatype, shape, offset, size):
        """Read-only, on the memory that is shared with the agent."""
        if numpy is not None:
            form = numpy.dtype(TYPES[datatype][1])
            return numpy.frombuffer(self.given, form, size // form.itemsize, offset).reshape(shape)
        view = memoryview(self.given).toreadonly()[offset:offset + size]
        return view.cast(TYPES[datatype][1], shape) if 0 not in shape and shape else view.cast(TYPES[datatype][1])

    def preprocess(self, width, height, size):
        if self.image:
            sample = self.view(1, (height, width, 3), 0, size)
        else:
            sample = memoryview(self.given).toreadonly()[:size]
        result = self.functions["preprocess"](sample)
        self.put_tensors(result)

    def postprocess(self, count, width, height, content):
        outputs = {}
        for spec, place in zip(self.outputs, TENSOR.iter_unpack(content)):
            datatype, rank, offset, size = place[0], place[1], place[10], place[11]
            outputs[spec["name"]] = self.view(datatype, place[2:2 + rank], offset, size)
        sample = {"width": width, "height": height} if width else {}
        self.put_prediction(self.functions["postprocess"](outputs, sample))

    # --- what they give

    def put_tensors(self, result):
        names = [spec["name"] for spec in self.inputs]
        if isinstance(result, dict):
            if set(result) != set(names):
                raise Wrong(f"expected an array for each input ({', '.join(names)}), got {', '.join(map(str, result)) or 'none'}")
            results = [result[name] for name in names]
        elif len(names) > 1 and isinstance(result, (list, tuple)) and len(result) == len(names):
            results = list(result)
        elif len(names) == 1:
            results = [result]
        else:
            raise Wrong(f"expected a dict with an array for each input ({', '.join(names)}), got {type(result).__name__}")
        places, end = b"", 0
        for spec, value in zip(self.inputs, results):
            datatype, shape, view = self.tensor(spec, value)
            size = view.nbytes
            if end + size > len(self.made):
                raise Wrong(f"expected at most {len(self.made) - end} bytes for the input '{spec['name']}', got {size}")
            self.copy(view, end, size)
            places += TENSOR.pack(datatype, len(shape), *shape, *[0] * (8 - len(shape)), end, size)
            end += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        self.say(OK, count=len(results), content=places)

    def copy(self, view, offset, size):
        if size == 0:
            return
        if numpy is not None and isinstance(view, numpy.ndarray):
            numpy.frombuffer(self.made, view.dtype, view.size, offset).reshape(view.shape)[...] = view
        else:
            self.made[offset:offset + size] = view.cast("B") if view.contiguous else view.tobytes()

    def tensor(self, spec, value):
        """Number of the element type, shape, and the content."""
        expected, name = spec["shape"], spec["name"]
        is_array = numpy is not None and isinstance(value, numpy.ndarray)
        if is_array and not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        try:
            view = value if is_array else memoryview(value)
        except TypeError:
            wanted = "a numpy array" if numpy is not None else "a memoryview, array.array or bytes"
            raise Wrong(f"expected {wanted} for the input '{name}', got {type(value).__name__}") from None
        form = SAME_FORM.get(view.dtype.char if is_array else view.format, view.dtype.char if is_array else view.format)
        shape = list(view.shape)
        datatype = next((i for i, (_, f) in enumerate(TYPES) if f == form), None)
        if datatype == 2 and spec["datatype"] == BF16:
            datatype = BF16
        wanted = f"{TYPES[spec['datatype']][0]}{json.dumps(expected, separators=(',', ':'))}"
        if not is_array and view.ndim == 1 and -1 not in expected:  # array.array knows no dimensions.
            count = 1
            for size in expected:
                count *= size
            shape = expected if view.shape[0] == count else shape
        fits = len(shape) == len(expected) and all(e in (-1, s) for e, s in zip(expected, shape))
        if datatype != spec["datatype"] or not fits:
            got = TYPES[datatype][0] if datatype is not None else str(view.dtype if is_array else view.format)
            hint = ""
            if is_array and datatype != spec["datatype"]:
                hint = f"; write .astype(numpy.{numpy.dtype(TYPES[spec['datatype']][1]).name})"
            elif is_array and [1] + shape == expected:
                hint = "; write [numpy.newaxis]"
            raise Wrong(f"expected {wanted} for the input '{name}', got {got}{json.dumps(shape, separators=(',', ':'))}{hint}")
        return datatype, shape, view

    def put_prediction(self, result):
        if not isinstance(result, dict):
            raise Wrong(f"expected a dict, got {type(result).__name__}")
        mask = result.get("mask") if result.get("kind") == "mask" else None
        if mask is not None:
            try:
                view = memoryview(numpy.ascontiguousarray(mask) if numpy is not None else mask)
            except TypeError:
                raise Wrong(f"expected a mask as a two-dimensional array, got {type(mask).__name__}") from None
            if view.ndim != 2 or view.format != "B" or not view.contiguous:
                raise Wrong("expected a mask as a two-dimensional array of uint8 (class numbers, height × width), got "
                            f"{view.format} {list(view.shape)}")
            if JSON_LIMIT_BYTES + view.nbytes > len(self.made):
                raise Wrong(f"expected a mask of at most {len(self.made) - JSON_LIMIT_BYTES} pixels, got {view.nbytes}")
            self.made[JSON_LIMIT_BYTES:JSON_LIMIT_BYTES + view.nbytes] = view.cast("B")
            result = {"kind": "mask", "mask": {"width": view.shape[1], "height": view.shape[0], "offset": JSON_LIMIT_BYTES}}
        try:
            text = json.dumps(result, allow_nan=False, separators=(",", ":"), default=self.plain).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Wrong(f"expected a dict that JSON can hold, got: {error}") from None
        if len(text) > JSON_LIMIT_BYTES:
            raise Wrong(f"expected at most {JSON_LIMIT_BYTES} bytes of JSON, got {len(text)}")
        self.made[:len(text)] = text
        self.say(OK, size=len(text))

    @staticmethod
    def plain(value):
        if hasattr(value, "tolist"):  # numpy's numbers and arrays.
            return value.tolist()
        raise TypeError(f"a {type(value).__name__}")


def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    sys.stdout = sys.stderr = Words()
    Host(channel).serve()
    exit_now(0)


if __name__ == "__main__":
    main()
