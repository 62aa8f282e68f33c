//! Exercises `std::fs`, operation by operation, and prints what each gave as one JSON line.
//!
//! The same program runs in the sandbox and natively over the same files; the lines must be equal but for
//! those that the host's test lists. The directory is the first argument, `/workspace` without one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 32 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn report<T: std::fmt::Debug>(op: &str, result: std::io::Result<T>) {
    let saw = match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error {:?}", error.kind()),
    };
    println!("{{\"op\":{},\"saw\":{}}}", quoted(op), quoted(&saw));
}

fn names(path: &Path) -> std::io::Result<Vec<(String, bool, bool, bool)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        found.push((entry.file_name().into_string().unwrap(), kind.is_dir(), kind.is_file(), kind.is_symlink()));
    }
    found.sort();
    Ok(found)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum * 31 % 1_000_000_007 + u64::from(*byte))
}

fn reading(root: &Path) {
    report("read base", fs::read_to_string(root.join("base.txt")));
    report("read base nested", fs::read_to_string(root.join("dir/sub/deep.txt")));
    report("read missing", fs::read(root.join("missing")));
    report("read through a file", fs::read(root.join("base.txt/x")));
    report("read a directory", fs::read(root.join("dir")));
    report("read with a slash", fs::read(root.join("base.txt/")));
    report("read dotted", fs::read_to_string(root.join("./dir/../dir/./sub/deep.txt")));
    report("read empty path", fs::read(""));
    report("read with nul", fs::read(root.join("a\0b")));
    report("read long name", fs::read(root.join("n".repeat(256))));
    report("read long path", fs::read(root.join("d/".repeat(2500))));
    report("list", names(root));
    report("list nested", names(&root.join("dir")));
    report("list a file", names(&root.join("base.txt")));
    report("list missing", names(&root.join("missing")));
    report("len", fs::metadata(root.join("base.txt")).map(|meta| (meta.len(), meta.is_file(), meta.is_dir())));
    report("dir meta", fs::metadata(root.join("dir")).map(|meta| (meta.is_file(), meta.is_dir())));
    report("modified is known", fs::metadata(root.join("base.txt")).and_then(|meta| meta.modified()).map(|_| ()));
    report("exists", Ok((root.join("base.txt").exists(), root.join("missing").exists())));
    report(
        "lines",
        File::open(root.join("lines.txt")).map(|file| BufReader::new(file).lines().map_while(Result::ok).count()),
    );
    report("seek", seeking(root));
}

fn seeking(root: &Path) -> std::io::Result<Vec<String>> {
    let mut file = File::open(root.join("base.txt"))?;
    let mut seen = Vec::new();
    for position in [SeekFrom::Start(3), SeekFrom::End(-4), SeekFrom::Current(-1), SeekFrom::Start(1000)] {
        let at = file.seek(position)?;
        let mut two = [0; 2];
        let read = file.read(&mut two)?;
        seen.push(format!("{at}:{:?}", String::from_utf8_lossy(&two[..read])));
    }
    report("seek before the start", file.seek(SeekFrom::End(-1000)));
    Ok(seen)
}

fn links(root: &Path) {
    report("link read", fs::read_to_string(root.join("link")));
    report("link to a directory", fs::read_to_string(root.join("dirlink/sub/deep.txt")));
    report("link meta", fs::metadata(root.join("link")).map(|meta| meta.len()));
    report("link itself", fs::symlink_metadata(root.join("link")).map(|meta| meta.is_symlink()));
    report("link target", fs::read_link(root.join("link")));
    report("no link", fs::read_link(root.join("base.txt")));
    report(
        "loop",
        fs::read(root.join("loop1")).map_err(|error| std::io::Error::other(error.to_string().len().min(1).to_string())),
    );
    report("dangling", fs::read(root.join("dangling")));
    report("dangling itself", fs::symlink_metadata(root.join("dangling")).map(|meta| meta.is_symlink()));
    report("write through a link", fs::write(root.join("link"), "through"));
    report("what the link shows", fs::read_to_string(root.join("base.txt")));
    report("create through a dangling link", fs::write(root.join("dangling"), "landed"));
    report("where it landed", fs::read_to_string(root.join("landing")));
    report(
        "create new through a link",
        OpenOptions::new().write(true).create_new(true).open(root.join("link")).map(|_| ()),
    );
    report("hard link", fs::hard_link(root.join("base.txt"), root.join("hard")));
    let _ = fs::remove_file(root.join("hard"));
}

fn writing(root: &Path) {
    let at = |name: &str| root.join(name);
    report("write", fs::write(at("new"), "one"));
    report("read back", fs::read_to_string(at("new")));
    report("overwrite shorter", fs::write(at("new"), "1"));
    report("read back", fs::read_to_string(at("new")));
    report("write base", fs::write(at("dir/in.txt"), "changed"));
    report("append", OpenOptions::new().append(true).open(at("new")).and_then(|mut file| file.write_all(b"-appended")));
    report(
        "append base",
        OpenOptions::new().append(true).open(at("lines.txt")).and_then(|mut file| file.write_all(b"more\n")),
    );
    report("read appended", fs::read_to_string(at("lines.txt")));
    report("create new", File::create_new(at("new")).map(|_| ()));
    report("create in a missing directory", fs::write(at("no/such/file"), ""));
    report("create below a file", fs::write(at("new/x"), ""));
    report("create with a slash", fs::write(at("slash/"), ""));
    report("write a directory", fs::write(at("dir"), ""));
    report("read what is write-only", File::create(at("wo")).and_then(|mut file| file.read(&mut [0; 4])));
    report("write what is read-only", File::open(at("new")).and_then(|mut file| file.write(b"x")));
    report("read and write", read_write(&at("rw")));
    report("set_len", set_len(&at("len")));
    report("sparse", sparse(&at("sparse")));
    report("vectored", vectored(&at("vectored")));
    report("large", large(&at("large")));
    report("two handles", two_handles(&at("two")));
    report("two handles of a base file", two_handles(&at("dir/twice.txt")));
    report("copy", fs::copy(at("base.txt"), at("copied")));
    report("copy over", fs::copy(at("new"), at("copied")));
    report("copied", fs::read_to_string(at("copied")));
    report("copy itself missing", fs::copy(at("missing"), at("copied")));
    report(
        "set times",
        File::options().write(true).open(at("new")).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)),
    );
    report("spaces and Ünïcode", fs::write(at("a file, with ünïcode 日本"), "ü"));
    report("long name", fs::write(at(&"n".repeat(255)), "long"));
    report("too long name", fs::write(at(&"n".repeat(256)), "long"));
}

fn read_write(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.write_all(b"0123456789")?;
    file.seek(SeekFrom::Start(4))?;
    file.write_all(b"XY")?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    file.sync_all()?;
    file.sync_data()?;
    Ok((text, file.stream_position()?))
}

fn set_len(path: &Path) -> std::io::Result<(Vec<u8>, u64)> {
    let file = File::create(path)?;
    file.set_len(5)?;
    let zeros = fs::read(path)?;
    fs::write(path, "abcdef")?;
    OpenOptions::new().write(true).open(path)?.set_len(2)?;
    Ok((zeros, fs::metadata(path)?.len()))
}

fn sparse(path: &Path) -> std::io::Result<(u64, u64)> {
    let mut file = File::create(path)?;
    file.seek(SeekFrom::Start(100_000))?;
    file.write_all(b"end")?;
    drop(file);
    let bytes = fs::read(path)?;
    Ok((bytes.len() as u64, sum(&bytes)))
}

fn vectored(path: &Path) -> std::io::Result<String> {
    let mut file = File::create(path)?;
    let mut left: &[u8] = b"first second";
    while !left.is_empty() {
        let wrote = file.write_vectored(&[IoSlice::new(left)])?;
        left = &left[wrote..];
    }
    fs::read_to_string(path)
}

fn large(path: &Path) -> std::io::Result<(u64, u64)> {
    let bytes: Vec<u8> = (0..1_500_000u32).map(|n| (n * 7 % 251) as u8).collect();
    fs::write(path, &bytes)?;
    let back = fs::read(path)?;
    Ok((back.len() as u64, sum(&back)))
}

fn two_handles(path: &Path) -> std::io::Result<(String, String, u64)> {
    let mut writer = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let mut reader = File::open(path)?;
    writer.write_all(b"seen by both")?;
    let mut first = String::new();
    reader.read_to_string(&mut first)?;
    reader.rewind()?;
    writer.set_len(4)?;
    let mut second = String::new();
    reader.read_to_string(&mut second)?;
    Ok((first, second, reader.metadata()?.len()))
}

fn directories(root: &Path) {
    let at = |name: &str| root.join(name);
    report("mkdir", fs::create_dir(at("made")));
    report("mkdir again", fs::create_dir(at("made")));
    report("mkdir over a file", fs::create_dir(at("new")));
    report("mkdir in nothing", fs::create_dir(at("no/such")));
    report("mkdir with a slash", fs::create_dir(at("slashed/")));
    report("mkdir all", fs::create_dir_all(at("made/x/y/z")));
    report("mkdir all again", fs::create_dir_all(at("made/x/y/z")));
    report("deep", deep(&at("made")));
    report("many", many(&at("many")));
    report("rmdir full", fs::remove_dir(at("made")));
    report("rmdir a file", fs::remove_dir(at("new")));
    report("rmdir missing", fs::remove_dir(at("missing")));
    report("rmdir", fs::remove_dir(at("made/x/y/z")));
    report(
        "rm a directory",
        fs::remove_file(at("made")).is_err().then_some(()).ok_or_else(|| std::io::Error::other("removed")),
    );
    report("rm missing", fs::remove_file(at("missing")));
    report("rm base", fs::remove_file(at("dir/gone.txt")));
    report("rm base again", fs::remove_file(at("dir/gone.txt")));
    report("list after rm", names(&at("dir")));
    report("make a directory of the same name", fs::create_dir(at("dir/gone.txt")));
    report("rm all", fs::remove_dir_all(at("tree")));
    report("rm all is gone", names(&at("tree")));
    report("make it again", fs::create_dir(at("tree")).and_then(|()| names(&at("tree"))));
}

fn deep(root: &Path) -> std::io::Result<String> {
    let mut path = root.to_owned();
    for level in 0..40 {
        path.push(format!("level{level}"));
    }
    fs::create_dir_all(&path)?;
    path.push("bottom");
    fs::write(&path, "bottom")?;
    fs::read_to_string(&path)
}

fn many(root: &Path) -> std::io::Result<(usize, usize)> {
    fs::create_dir(root)?;
    for number in 0..300 {
        fs::write(root.join(format!("file{number}")), format!("{number}"))?;
    }
    let all = names(root)?.len();
    for number in (0..300).step_by(2) {
        fs::remove_file(root.join(format!("file{number}")))?;
    }
    Ok((all, names(root)?.len()))
}

fn moving(root: &Path) {
    let at = |name: &str| root.join(name);
    report("mv", fs::rename(at("new"), at("moved")));
    report("mv missing", fs::rename(at("new"), at("moved2")));
    report("mv base", fs::rename(at("mv.txt"), at("dir/mv.txt")));
    report("mv over", fs::write(at("over"), "over").and_then(|()| fs::rename(at("over"), at("moved"))));
    report("after mv over", fs::read_to_string(at("moved")));
    report("mv to itself", fs::rename(at("moved"), at("moved")));
    report("mv a file over a directory", fs::rename(at("moved"), at("dir")));
    report("mv a directory over a file", fs::rename(at("made"), at("moved")));
    report("mv a directory into itself", fs::rename(at("made"), at("made/x/inside")));
    report("mv a directory over a full one", fs::rename(at("made"), at("dir")));
    report("mv a base directory", fs::rename(at("mvdir"), at("made/mvdir")));
    report("list what moved", names(&at("made/mvdir")));
    report("read what moved", fs::read_to_string(at("made/mvdir/inner/file.txt")));
    report("gone where it was", names(&at("mvdir")));
    report("open across mv", open_across(root));
    report("open across rm", open_across_remove(root));
    report("replace while open", replace_while_open(root));
}

fn open_across(root: &Path) -> std::io::Result<String> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(root.join("across"))?;
    file.write_all(b"before ")?;
    fs::rename(root.join("across"), root.join("across2"))?;
    file.write_all(b"after")?;
    fs::read_to_string(root.join("across2"))
}

fn open_across_remove(root: &Path) -> std::io::Result<(String, bool)> {
    let mut file = OpenOptions::new().read(true).write(true).open(root.join("across2"))?;
    fs::remove_file(root.join("across2"))?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b"!")?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, root.join("across2").exists()))
}

fn replace_while_open(root: &Path) -> std::io::Result<(String, String)> {
    let mut old = File::open(root.join("replaced.txt"))?;
    fs::write(root.join("replacement"), "new content")?;
    fs::rename(root.join("replacement"), root.join("replaced.txt"))?;
    let mut text = String::new();
    old.read_to_string(&mut text)?;
    Ok((text, fs::read_to_string(root.join("replaced.txt"))?))
}

fn main() {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "/workspace".to_owned()));
    reading(&root);
    writing(&root);
    links(&root);
    directories(&root);
    moving(&root);
    report("list at the end", names(&root));
}
