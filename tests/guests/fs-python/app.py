"""Exercises files from Python, operation by operation, and prints what each gave as one JSON line.

The same program runs in the sandbox (CPython as a component, by componentize-py) and natively over the same
files; the lines must be equal but for those that the host's test lists.
"""

import csv
import encodings.cp437  # zipfile looks it up by name; a component has only what was imported
import errno
import glob
import json
import os
import pathlib
import shutil
import stat
import sys
import tempfile
import zipfile

LINES = []


def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (str, int, bool, type(None))):
        return value
    return str(value)


def report(op, work):
    try:
        saw = plain(work())
    except OSError as error:
        saw = "error " + errno.errorcode.get(error.errno, str(error.errno))
    except Exception as error:
        saw = "error " + type(error).__name__
    LINES.append(json.dumps({"op": op, "saw": saw}, ensure_ascii=False))


def put(path, text, mode="w"):
    with open(path, mode) as file:
        return file.write(text)


def get(path, mode="r"):
    with open(path, mode) as file:
        return file.read()


def reading(root):
    report("read", lambda: get(f"{root}/base.txt"))
    report("read bytes", lambda: get(f"{root}/dir/sub/deep.txt", "rb"))
    report("read missing", lambda: get(f"{root}/missing"))
    report("read a directory", lambda: get(f"{root}/dir"))
    report("listdir", lambda: sorted(os.listdir(root)))
    report("scandir", lambda: sorted((e.name, e.is_dir(), e.is_file(), e.is_symlink()) for e in os.scandir(root)))
    report("walk", lambda: sorted(str((os.path.relpath(d, root), sorted(ds), sorted(fs))) for d, ds, fs in os.walk(root)))
    report("glob", lambda: sorted(os.path.relpath(p, root) for p in glob.glob(f"{root}/**/*.txt", recursive=True)))
    report("pathlib", lambda: sorted(str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*.txt")))
    report("stat", lambda: (os.stat(f"{root}/base.txt").st_size, stat.S_ISREG(os.stat(f"{root}/base.txt").st_mode)))
    report("lstat", lambda: stat.S_ISLNK(os.lstat(f"{root}/link").st_mode))
    report("readlink", lambda: os.readlink(f"{root}/link"))
    report("samefile", lambda: os.path.samefile(f"{root}/base.txt", f"{root}/link"))
    report("not samefile", lambda: os.path.samefile(f"{root}/base.txt", f"{root}/lines.txt"))
    report("exists", lambda: (os.path.exists(f"{root}/base.txt"), os.path.exists(f"{root}/x"), os.path.isdir(f"{root}/dir")))
    report("lines", lambda: [line for line in open(f"{root}/lines.txt")])
    report("seek", seeking(root))


def seeking(root):
    def work():
        with open(f"{root}/base.txt", "rb") as file:
            file.seek(3)
            first = file.read(2)
            file.seek(-4, os.SEEK_END)
            return first, file.read(), file.tell()

    return work


def writing(root):
    report("w", lambda: (put(f"{root}/new", "one"), get(f"{root}/new")))
    report("a", lambda: (put(f"{root}/new", " two", "a"), get(f"{root}/new")))
    report("x", lambda: put(f"{root}/new", "no", "x"))
    report("x new", lambda: put(f"{root}/new2", "yes", "x"))
    report("w base", lambda: (put(f"{root}/dir/in.txt", "changed"), get(f"{root}/dir/in.txt")))
    report("r+", update(f"{root}/base.txt"))
    report("w+", lambda: rewrite(f"{root}/wplus"))
    report("truncate", lambda: (os.truncate(f"{root}/lines.txt", 3), get(f"{root}/lines.txt")))
    report("unbuffered", unbuffered(f"{root}/unbuffered"))
    report("os.open", lambda: os_open(f"{root}/osopen"))
    report("in nothing", lambda: put(f"{root}/no/such", "x"))
    report("utime", lambda: os.utime(f"{root}/new", (1, 1)))
    report("fsync", lambda: fsync(f"{root}/new"))
    report("csv", lambda: write_csv(f"{root}/table.csv"))
    report("zip", lambda: write_zip(f"{root}/archive.zip"))
    report("json", lambda: (put(f"{root}/x.json", json.dumps({"a": [1, 2]})), json.loads(get(f"{root}/x.json"))["a"]))
    report("large", lambda: (put(f"{root}/large", "0123456789" * 100_000), len(get(f"{root}/large"))))


def update(path):
    def work():
        with open(path, "r+") as file:
            file.seek(2)
            file.write("XY")
        return get(path)

    return work


def rewrite(path):
    with open(path, "w+") as file:
        file.write("abc")
        file.seek(0)
        return file.read()


def unbuffered(path):
    def work():
        writer = open(path, "wb", buffering=0)
        writer.write(b"seen")
        seen = get(path, "rb")
        writer.close()
        return seen

    return work


def os_open(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.write(fd, b"hello world")
        os.lseek(fd, 6, os.SEEK_SET)
        return os.read(fd, 100), os.fstat(fd).st_size
    finally:
        os.close(fd)


def fsync(path):
    with open(path, "a") as file:
        file.flush()
        os.fsync(file.fileno())


def write_csv(path):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], [1, "x,y"]])
    with open(path, newline="") as file:
        return list(csv.reader(file))


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("inside.txt"), "zipped")
    with zipfile.ZipFile(path) as archive:
        return archive.read("inside.txt")


def moving(root):
    report("mkdir", lambda: os.mkdir(f"{root}/made"))
    report("mkdir again", lambda: os.mkdir(f"{root}/made"))
    report("makedirs", lambda: os.makedirs(f"{root}/made/x/y/"))
    report("rmdir full", lambda: os.rmdir(f"{root}/made"))
    report("rename", lambda: os.rename(f"{root}/new2", f"{root}/made/new2"))
    report("replace", lambda: (os.replace(f"{root}/made/new2", f"{root}/new"), get(f"{root}/new")))
    report("rename base directory", lambda: os.rename(f"{root}/mvdir", f"{root}/made/mvdir"))
    report("copyfile", lambda: (shutil.copyfile(f"{root}/base.txt", f"{root}/copied") and get(f"{root}/copied")))
    report("copytree", lambda: shutil.copytree(f"{root}/dir", f"{root}/dircopy", copy_function=shutil.copyfile) and sorted(os.listdir(f"{root}/dircopy")))
    report("move", lambda: shutil.move(f"{root}/dircopy", f"{root}/made/dircopy") and sorted(os.listdir(f"{root}/made")))
    report("rmtree", lambda: (shutil.rmtree(f"{root}/tree"), os.path.exists(f"{root}/tree")))
    report("unlink", lambda: (os.unlink(f"{root}/dir/gone.txt"), os.path.exists(f"{root}/dir/gone.txt")))
    report("unlink missing", lambda: os.unlink(f"{root}/dir/gone.txt"))
    report("pathlib write", lambda: (pathlib.Path(root, "p.txt").write_text("p"), pathlib.Path(root, "p.txt").read_text()))
    report("pathlib touch", lambda: pathlib.Path(root, "touched").touch())
    report("pathlib mkdir", lambda: pathlib.Path(root, "q/r").mkdir(parents=True, exist_ok=True))
    report("temporary file", lambda: temporary(root))
    report("temporary directory", lambda: temporary_directory(root))
    report("at the end", lambda: sorted(os.listdir(root)))


def temporary(root):
    with tempfile.NamedTemporaryFile(dir=root, mode="w+") as file:
        file.write("temporary")
        file.flush()
        seen = get(file.name)
    return seen, os.path.exists(file.name)


def temporary_directory(root):
    with tempfile.TemporaryDirectory(dir=root) as name:
        put(f"{name}/x", "x")
        seen = os.listdir(name)
    return seen, os.path.exists(name)


def database(root):
    try:
        import sqlite3
    except ImportError:
        report("sqlite3", lambda: "not there")
        return

    def work():
        with sqlite3.connect(f"{root}/data.db") as connection:
            connection.execute("create table t (a, b)")
            connection.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(100)])
        found = list(sqlite3.connect(f"{root}/data.db").execute("select count(*), sum(a) from t"))
        os.unlink(f"{root}/data.db")
        return found

    report("sqlite3", work)


def everything(root):
    reading(root)
    writing(root)
    moving(root)
    database(root)
    return "\n".join(LINES) + "\n"


class WitWorld:
    """What the world `guest` exports."""

    def run(self, root: str) -> str:
        return everything(root)


if __name__ == "__main__":
    sys.stdout.write(everything(sys.argv[1]))
