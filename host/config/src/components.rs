//! The lists of installed components: `components.toml` beside each layer's configuration.
//!
//! Promise: read as strictly as a configuration, with file, line and key of everything that is wrong; an
//! untrusted project's components and grants are withheld and named. What a grant means is not known here: grants
//! are texts with the line they stand in.
//!
//! Not here: the binaries (the CLI), grants' meaning (the core), changing the lists (`edit`).

use crate::check::{is_digest, join};
use crate::layer::{parse_as, text_of};
use crate::limits::RawToolLimits;
use crate::meaning::is_plain_name;
use crate::narrow::{Withheld, WithheldReason};
use crate::paths::ComponentPlaces;
use crate::problem::{ConfigProblems, Fault, Problem};
use crate::resolve::ProjectConfig;
use crate::schema::schema_of;
use crate::source::Source;
use crate::trust::{ConfigDigest, Trust, TrustStore};
use crate::words::Category;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of::<RawComponents>);

/// Installed components of harness-host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawComponents {
    /// One component, or the grants of a built-in one.
    #[serde(default, rename = "component")]
    components: Vec<RawComponent>,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawComponent {
    /// Its name in grants and logs.
    #[schemars(length(min = 1, max = 64))]
    name: String,
    /// The digest of its binary; none for a component that is part of the program.
    #[schemars(length(min = 1, max = 200))]
    digest: Option<String>,
    /// Where it came from, in words.
    #[schemars(length(min = 1, max = 4096))]
    source: Option<String>,
    /// The size of its binary.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    bytes: Option<u64>,
    /// Another digest under this name is refused.
    #[serde(default)]
    pinned: bool,
    /// What its tools do, where they do not say it themselves.
    category: Option<Category>,
    /// What it may do, one capability each.
    #[serde(default)]
    grants: Vec<String>,
    /// What it said of its tools when it was added: JSON.
    #[schemars(length(min = 2, max = 262_144))]
    described: Option<String>,
    /// Limits of its calls, where lower than those of all calls.
    #[serde(default)]
    limits: RawToolLimits,
}

/// A grant as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantLine {
    /// The capability's text.
    pub text: String,
    /// The line it stands in, from 1.
    pub line: usize,
}

/// What a list says of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenComponent {
    /// Its name in grants and logs.
    pub name: String,
    /// The digest of its binary, `sha256:` and 64 hexadecimal digits; none for one that is part of the program.
    pub digest: Option<String>,
    /// Where it came from, in words.
    pub source: Option<String>,
    /// The size of its binary.
    pub bytes: Option<u64>,
    /// Another digest under this name is refused.
    pub pinned: bool,
    /// What its tools do, where they do not say it themselves.
    pub category: Option<Category>,
    /// What it may do, one capability each.
    pub grants: Vec<String>,
    /// What it said of its tools when it was added: JSON.
    pub described: Option<String>,
    /// Limits of its calls by key, in force where lower than those of all calls.
    pub limits: Vec<(&'static str, u64)>,
}

/// An installed component, with where that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledComponent {
    /// What the list says.
    pub written: WrittenComponent,
    /// Its grants with their lines.
    pub grants: Vec<GrantLine>,
    /// The line of its entry, from 1.
    pub line: usize,
    /// The list.
    pub source: Source,
}

impl InstalledComponent {
    /// Where a grant stands, for errors: file and line.
    pub fn place_of(&self, grant: &GrantLine) -> String {
        format!("{}:{}", self.source, grant.line)
    }
}

/// One list that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentList {
    /// Its components, in the order they are written.
    pub components: Vec<InstalledComponent>,
    /// The folder of their binaries.
    pub binaries: PathBuf,
}

/// The lists that hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentLists {
    /// The user's.
    pub user: ComponentList,
    /// The project's; empty while nobody trusts it.
    pub project: ComponentList,
    /// The project's list as it was read, if there is one.
    pub project_file: Option<ProjectConfig>,
    /// What the project asked for and did not get, because nobody trusted it.
    pub withheld: Vec<Withheld>,
}

/// Reads the lists.
///
/// # Errors
/// All problems of both lists, with file, line and key.
pub fn read_components(places: &ComponentPlaces, trust: &TrustStore) -> Result<ComponentLists, ConfigProblems> {
    match read_usable_components(places, trust) {
        (lists, None) => Ok(lists),
        (_, Some(problems)) => Err(problems),
    }
}

/// Reads the lists that can be read: one with problems is empty, for those who mend it or look at the other one.
pub fn read_usable_components(
    places: &ComponentPlaces,
    trust: &TrustStore,
) -> (ComponentLists, Option<ConfigProblems>) {
    let mut problems = Vec::new();
    let mut lists = ComponentLists::default();
    lists.user.binaries.clone_from(&places.user_binaries);
    if let Some((components, _)) = read_list(&places.user, Source::User, &mut problems) {
        lists.user.components = components;
    }
    if let Some((path, binaries)) = &places.project {
        let read = read_list(path, Source::Project, &mut problems);
        lists.project.binaries.clone_from(binaries);
        if let Some((components, digest)) = read {
            let trust = trust.check(path, &digest);
            match trust {
                Trust::Trusted => lists.project.components = components,
                Trust::Changed | Trust::Unknown => lists.withheld = withheld(&components),
            }
            lists.project_file = Some(ProjectConfig { path: path.clone(), digest, trust });
        }
    }
    let problems = (!problems.is_empty()).then_some(ConfigProblems { problems });
    (lists, problems)
}

/// What a project's list says, trusted or not, with the digest of what was read: for those who decide about it.
///
/// # Errors
/// All problems of the list, with file, line and key.
pub fn read_project_components(
    places: &ComponentPlaces,
) -> Result<Option<(Vec<InstalledComponent>, ConfigDigest)>, ConfigProblems> {
    let mut problems = Vec::new();
    let read = places.project.as_ref().and_then(|(path, _)| read_list(path, Source::Project, &mut problems));
    if problems.is_empty() { Ok(read) } else { Err(ConfigProblems { problems }) }
}

fn withheld(components: &[InstalledComponent]) -> Vec<Withheld> {
    let withheld = |component: &InstalledComponent| {
        let grants = component.grants.iter().map(|grant| grant.text.as_str());
        let digest = component.written.digest.as_deref().map(|digest| digest.chars().take(19).collect::<String>());
        let mut asked: Vec<String> = digest.into_iter().map(|digest| format!("{digest}…")).collect();
        asked.extend(grants.map(str::to_owned));
        Withheld {
            key: join("component", &component.written.name),
            asked: format!("{:?}", asked.join(", ")),
            reason: WithheldReason::NeedsTrust,
        }
    };
    components.iter().map(withheld).collect()
}

type ReadList = (Vec<InstalledComponent>, ConfigDigest);

fn read_list(path: &Path, source: fn(PathBuf) -> Source, problems: &mut Vec<Problem>) -> Option<ReadList> {
    let source = source(path.to_owned());
    let (text, digest) = text_of(path, &source, problems)?;
    let components = parse_list(&text, &source, problems)?;
    Some((components, digest))
}

/// The components of a list's text. None when it has problems, which are added to the list.
pub(crate) fn parse_list(text: &str, source: &Source, problems: &mut Vec<Problem>) -> Option<Vec<InstalledComponent>> {
    let count_before = problems.len();
    let (raw, lines) = parse_as::<RawComponents>(text, source, &SCHEMA, problems)?;
    let line = |key: &str| lines.get(key).copied();
    let mut problem = |key: &str, fault: Fault| {
        problems.push(Problem { origin: source.clone(), line: line(key), key: key.to_owned(), fault });
    };
    let mut first_lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut components = Vec::with_capacity(raw.components.len());
    for (index, raw) in raw.components.into_iter().enumerate() {
        let path = format!("component[{}]", index + 1);
        let own_line = line(&path).unwrap_or(1);
        let invalid = |expected: &str| Fault::Invalid { expected: expected.to_owned() };
        if !is_plain_name(&raw.name) {
            problem(&join(&path, "name"), invalid("lower-case letters, digits, `-` and `_`"));
        }
        if raw.digest.as_deref().is_some_and(|digest| !is_digest(digest)) {
            problem(&join(&path, "digest"), invalid("`sha256:` and 64 lower-case hexadecimal digits"));
        }
        if let Some(first) = first_lines.insert(raw.name.clone(), own_line) {
            problem(&join(&path, "name"), Fault::DuplicateComponent { name: raw.name.clone(), line: first });
        }
        let grant = |(at, text): (usize, &String)| GrantLine {
            text: text.clone(),
            line: line(&format!("{path}.grants[{}]", at + 1)).unwrap_or(own_line),
        };
        components.push(InstalledComponent {
            grants: raw.grants.iter().enumerate().map(grant).collect(),
            line: own_line,
            source: source.clone(),
            written: WrittenComponent {
                name: raw.name,
                digest: raw.digest,
                source: raw.source,
                bytes: raw.bytes,
                pinned: raw.pinned,
                category: raw.category,
                grants: raw.grants,
                described: raw.described,
                limits: raw.limits.set(),
            },
        });
    }
    (problems.len() == count_before).then_some(components)
}
