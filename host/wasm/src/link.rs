//! What the host offers to components: the linker, and what is missing in it.
//!
//! Promise: a known interface without a grant links to a denying implementation (no environment, no
//! sockets, standard input at its end); an unknown one is refused with what it wants and what there is.
//!
//! Not here: the list of interfaces (`offered`), files (`filesystem`), clocks, randomness, environment and output
//! streams (`wasi`), the host's own interfaces and requests (`host`).

use crate::filesystem;
use crate::guest::GuestState;
use crate::host;
use crate::offered;
use crate::wasi;
use wasmtime::Engine;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::p2::bindings::{cli, sockets};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};
use wasmtime_wasi_io::IoView;

/// The interface that a tool exports.
pub(crate) const TOOL_INTERFACE: &str = "harness:tool/tool@0.1.0";
/// An import's name inside an error, in bytes.
const IMPORT_NAME_BYTES_MAX: usize = 200;

/// Links everything that is offered.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi_io::add_to_linker_async(&mut linker)?;
    wasi::add_to_linker(&mut linker)?;
    add_cli(&mut linker)?;
    add_sockets(&mut linker)?;
    filesystem::add_to_linker(&mut linker)?;
    host::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn add_cli(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    cli::exit::add_to_linker::<_, WasiCli>(linker, cli_view)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, cli_view)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, cli_view)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, cli_view)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, cli_view)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, cli_view)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, cli_view)
}

fn add_sockets(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let network = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<_, WasiSockets>(linker, &network, sockets_view)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, sockets_view)?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, sockets_view)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(linker, sockets_view)?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, sockets_view)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(linker, sockets_view)?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, sockets_view)
}

fn cli_view(state: &mut GuestState) -> WasiCliCtxView<'_> {
    WasiCliCtxView { ctx: &mut state.cli, table: &mut state.table }
}

fn sockets_view(state: &mut GuestState) -> WasiSocketsCtxView<'_> {
    // Made when first asked for: most guests import sockets and never touch them.
    WasiSocketsCtxView { ctx: state.sockets.get_or_insert_default(), table: &mut state.table }
}

impl IoView for GuestState {
    fn table(&mut self) -> &mut wasmtime::component::ResourceTable {
        &mut self.table
    }
}

/// An interface that a component wants and the host does not have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MissingImport {
    /// What the component imports.
    pub wanted: String,
    /// What the host offers under the same name, if anything.
    pub offered: Option<String>,
}

impl std::fmt::Display for MissingImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.offered {
            Some(offered) => write!(f, "it imports `{}`, this host offers `{offered}`", self.wanted),
            None => write!(f, "it imports `{}`, this host offers nothing of that name", self.wanted),
        }
    }
}

/// The imports, of those named, that the host does not offer.
pub(crate) fn missing<'a>(imports: impl Iterator<Item = &'a str>) -> Vec<MissingImport> {
    imports.filter_map(check).collect()
}

fn check(import: &str) -> Option<MissingImport> {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let offered = offered::find(name).map(|offered| offered.version);
    if offered.is_some_and(|offered| is_compatible(version, offered)) {
        return None;
    }
    // The name comes from the component and goes to people.
    let wanted = crate::clean::clean_and_cut(import.as_bytes(), IMPORT_NAME_BYTES_MAX);
    Some(MissingImport { wanted, offered: offered.map(|offered| format!("{name}@{offered}")) })
}

/// Whether a guest made for `wanted` can use `offered`: same major version, and below 1.0 the same
/// minor version (semver.org, 4 and 8; the component model matches imports the same way).
pub(crate) fn is_compatible(wanted: &str, offered: &str) -> bool {
    let track = |version: &str| -> Option<(u64, u64, u64)> {
        // A pre-release matches nothing but itself.
        let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        match (major, minor) {
            _ if parts.next().is_some() => None,
            (0, 0) => Some((0, 0, patch)),
            (0, minor) => Some((0, minor, 0)),
            (major, _) => Some((major, 0, 0)),
        }
    };
    wanted == offered || track(wanted).is_some_and(|wanted| Some(wanted) == track(offered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_match_by_semver() {
        let table = [
            ("0.2.3", "0.2.12", true),
            ("0.2.20", "0.2.12", true),
            ("0.3.0", "0.2.12", false),
            ("0.2.0-rc-2023-11-10", "0.2.12", false),
            ("1.4.0", "1.0.0", true),
            ("0.0.1", "0.0.2", false),
            ("0.2", "0.2.12", false),
            ("0.2.1.9", "0.2.12", false),
            ("", "0.2.12", false),
        ];
        for (wanted, offered, expected) in table {
            assert_eq!(is_compatible(wanted, offered), expected, "{wanted} with {offered}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        let imports =
            ["wasi:io/streams@0.2.0", "wasi:nn/tensor@0.2.0", "wasi:cli/exit@0.3.0", "harness:host/kv@0.9.0", "do-it"];
        let words: Vec<_> = missing(imports.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "it imports `wasi:nn/tensor@0.2.0`, this host offers nothing of that name",
                "it imports `wasi:cli/exit@0.3.0`, this host offers `wasi:cli/exit@0.2.12`",
                "it imports `harness:host/kv@0.9.0`, this host offers `harness:host/kv@0.1.0`",
                "it imports `do-it`, this host offers nothing of that name",
            ]
        );
    }
}
