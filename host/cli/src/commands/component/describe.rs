//! `component describe`: putting what a component says of itself into its finished file.
//!
//! Promise: the file is replaced whole, and only by a component that says what was given as the host reads it.

use super::name_of_file;
use crate::args::component::WordsArgs;
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::installed::read_binary;
use crate::paint::one_line;
use harness_wasm::{ComponentSource, MANIFEST_BYTES_MAX, OwnWords, TOOLS_SECTION_BYTES_MAX, inspect_source};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// What a component says is shown up to this many characters a line.
const LINE_CHARS_MAX: usize = 400;

/// Runs the command.
pub(super) fn run(file: &Path, words: &WordsArgs) -> Result<Exit, Failure> {
    let before = read_binary(file)?;
    let manifest = words.manifest.as_deref().map(|path| read(path, MANIFEST_BYTES_MAX)).transpose()?;
    let tools = words.tools.as_deref().map(|path| read(path, TOOLS_SECTION_BYTES_MAX)).transpose()?;
    let source = ComponentSource { name: name_of_file(file), bytes: before.into() };
    let own = OwnWords { manifest: manifest.as_deref(), tools: tools.as_deref() };
    let described = source.with_words(own).map_err(|error| Failure::usage(chain(&error)))?;
    let inspection = inspect_source(&described, None).map_err(|error| Failure::usage(chain(&error)))?;
    if described.bytes != source.bytes {
        replace(file, &described.bytes)
            .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", file.display())))?;
    }
    let asked: Vec<String> = inspection.ceiling.iter().map(ToString::to_string).collect();
    let asked = if asked.is_empty() { "nothing".to_owned() } else { asked.join("; ") };
    let mut text = vec![
        format!("described {} {}", inspection.name, inspection.digest),
        format!("asks for at most: {}", one_line(&asked, LINE_CHARS_MAX)),
    ];
    text.extend(inspection.warnings.iter().map(|it| format!("note: {}", one_line(it, LINE_CHARS_MAX))));
    print_text(&text.join("\n"))
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(Failure::usage(format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// Replaces a file, where a link leads to it there too: whoever reads it meanwhile sees the old or the new one.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = std::fs::canonicalize(file)?;
    let mut new = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    new.write_all(bytes)?;
    new.as_file().set_permissions(std::fs::metadata(&file)?.permissions())?;
    new.persist(&file).map_err(|error| error.error)?;
    Ok(())
}
