//! `component add` of a mode or hooks: installed by digest as any component is, and never given anything.
//!
//! Promise: nothing is installed that does not compile, or whose mode has the name of another.

use super::super::Layer;
use super::super::edit::remove_binary;
use super::super::list::what;
use super::{check_replaces, store, whence};
use crate::args::component::AddArgs;
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::wiring::Wiring;
use harness_config::WrittenComponent;
use harness_wasm::{ComponentSource, PolicyComponent, PolicyLimits};

/// Installs it.
pub(super) async fn add(
    layer: &Layer,
    args: &AddArgs,
    wiring: &Wiring,
    source: ComponentSource,
) -> Result<Exit, Failure> {
    let name = source.name.clone();
    let wrong = |error: harness_wasm::ReadComponentError| Failure::usage(chain(&error));
    let mut policy = PolicyComponent::read(source.clone(), PolicyLimits::DEFAULT).map_err(wrong)?;
    if !args.grant.is_empty() {
        let kind = policy.kind().word();
        return Err(Failure::usage(format!("{name} is a {kind}: it gets no capability, so leave --grant out")));
    }
    check_replaces(layer, &name, policy.digest(), layer.listed(&name).as_ref())?;
    // It is compiled, and runs once where only that tells what it is.
    let described = wiring.runtime.describe_policy(&policy).await;
    let described = described.map_err(|error| Failure::failed(chain(&error)))?;
    let described = policy.needs_describing().then_some(described);
    if let Some(json) = &described {
        policy = PolicyComponent::read_described(source, PolicyLimits::DEFAULT, json).map_err(wrong)?;
    }
    layer.here.installation.check_mode(&policy)?;
    let digest = policy.digest().to_string();
    let mut edit = layer.open()?;
    let now = edit.get(&name);
    check_replaces(layer, &name, policy.digest(), now.as_ref())?;
    store(layer, &name, &digest, policy.bytes())?;
    edit.put(&WrittenComponent {
        name: name.clone(),
        digest: Some(digest.clone()),
        source: Some(whence(&args.file, layer.is_project)),
        bytes: u64::try_from(policy.bytes().len()).ok(),
        grants: Vec::new(),
        described,
        ..now.clone().unwrap_or_default()
    });
    layer.write(&mut edit)?;
    if let Some(old) = now.and_then(|now| now.digest).filter(|old| *old != digest) {
        remove_binary(layer, &edit, &name, &old);
    }
    print_text(&format!("added {name} {digest}\n{}\nmay: nothing beyond itself", what(&policy)))
}
