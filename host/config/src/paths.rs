//! Directories and files of harness-host, by the XDG rules.
//!
//! Promise: a pure function of the environment. `HARNESS_HOST_HOME` puts everything of the user into
//! one directory; the machine's file stays where it is, so it cannot be stepped around.
//!
//! Not here: creating any of them.

use crate::environment::Environment;
use crate::source::{Source, Sourced};
use std::path::{Path, PathBuf};

/// The machine's file, which only the operator can write.
pub const MACHINE_CONFIG_PATH: &str = "/etc/harness-host/config.toml";
/// The name of our directory under XDG's directories.
const DIRECTORY: &str = "harness-host";
/// The name of a configuration file.
const CONFIG_FILE: &str = "config.toml";
/// The name of a list of installed components.
const COMPONENTS_FILE: &str = "components.toml";
/// The name of a folder of installed components' binaries.
const COMPONENTS_DIRECTORY: &str = "components";
/// The name of our directory in a workspace.
const PROJECT_DIRECTORY: &str = ".harness-host";
/// The variable that puts everything of the user into one directory.
const HOME_VARIABLE: &str = "HARNESS_HOST_HOME";

/// The user's directories. None of them needs to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Configuration: what the user writes.
    pub config_dir: PathBuf,
    /// State: logs, blobs, what is trusted.
    pub state_dir: PathBuf,
    /// Cache: what can be made again.
    pub cache_dir: PathBuf,
    /// The home directory, for paths that start with `~/`.
    home: Option<PathBuf>,
    /// What decided on the state directory.
    state_source: Source,
}

/// Why there are no directories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// Nothing says where the user's files are.
    #[error("neither HARNESS_HOST_HOME nor HOME is set to an absolute path, and {variable} is not either")]
    NoHome {
        /// The XDG variable that would have told.
        variable: &'static str,
    },
    /// The variable holds a relative path, which would mean another place in each directory.
    #[error("HARNESS_HOST_HOME is `{path}`; it has to be an absolute path")]
    HomeNotAbsolute {
        /// What it holds.
        path: PathBuf,
    },
}

impl Paths {
    /// Finds the directories.
    ///
    /// With `HARNESS_HOST_HOME`: that directory, `state` and `cache` in it. Else `harness-host` under
    /// `XDG_CONFIG_HOME`, `XDG_STATE_HOME` and `XDG_CACHE_HOME`, or under `~/.config`,
    /// `~/.local/state` and `~/.cache`. Relative XDG paths are ignored, as XDG says.
    ///
    /// # Errors
    /// When `HARNESS_HOST_HOME` is relative, or no home directory is known and needed.
    pub fn from_environment(environment: &Environment) -> Result<Self, PathsError> {
        let home = absolute(environment, "HOME");
        if let Some(root) = environment.get(HOME_VARIABLE).map(PathBuf::from) {
            if !root.is_absolute() {
                return Err(PathsError::HomeNotAbsolute { path: root });
            }
            return Ok(Self {
                state_dir: root.join("state"),
                cache_dir: root.join("cache"),
                config_dir: root,
                home,
                state_source: Source::Environment(HOME_VARIABLE.to_owned()),
            });
        }
        let directory = |variable: &'static str, fallback: &str| {
            absolute(environment, variable)
                .or_else(|| home.as_ref().map(|home| home.join(fallback)))
                .map(|base| base.join(DIRECTORY))
                .ok_or(PathsError::NoHome { variable })
        };
        let state_source = match absolute(environment, "XDG_STATE_HOME") {
            Some(_) => Source::Environment("XDG_STATE_HOME".to_owned()),
            None => Source::BuiltIn,
        };
        Ok(Self {
            config_dir: directory("XDG_CONFIG_HOME", ".config")?,
            state_dir: directory("XDG_STATE_HOME", ".local/state")?,
            cache_dir: directory("XDG_CACHE_HOME", ".cache")?,
            home,
            state_source,
        })
    }

    /// The state directory when no layer sets another one.
    pub(crate) fn default_state_dir(&self) -> Sourced<PathBuf> {
        Sourced::new(self.state_dir.clone(), self.state_source.clone())
    }

    /// A path as written in a file: absolute, or `~/` and the rest. None for others.
    pub(crate) fn expand(&self, text: &str) -> Option<PathBuf> {
        let path = match text.strip_prefix("~/") {
            Some(rest) => self.home.as_ref()?.join(rest),
            None => PathBuf::from(text),
        };
        path.is_absolute().then_some(path)
    }
}

fn absolute(environment: &Environment, variable: &str) -> Option<PathBuf> {
    environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The files to read. A file that does not exist says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    /// The operator's.
    pub machine: Option<PathBuf>,
    /// The user's.
    pub user: Option<PathBuf>,
    /// The workspace's.
    pub project: Option<PathBuf>,
}

impl ConfigFiles {
    /// The files in their usual places.
    pub fn usual(paths: &Paths, workspace: Option<&Path>) -> Self {
        Self {
            machine: Some(PathBuf::from(MACHINE_CONFIG_PATH)),
            user: Some(paths.config_dir.join(CONFIG_FILE)),
            project: workspace.map(|folder| folder.join(PROJECT_DIRECTORY).join(CONFIG_FILE)),
        }
    }
}

/// Where installed components are: a list beside each layer's configuration, and a folder of binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentPlaces {
    /// The user's list.
    pub user: PathBuf,
    /// The user's binaries.
    pub user_binaries: PathBuf,
    /// The workspace's list, and its binaries.
    pub project: Option<(PathBuf, PathBuf)>,
}

impl ComponentPlaces {
    /// The usual places.
    pub fn usual(paths: &Paths, workspace: Option<&Path>) -> Self {
        let user = paths.config_dir.join(COMPONENTS_FILE);
        let project = workspace.map(|folder| folder.join(PROJECT_DIRECTORY));
        let project = project.map(|folder| (folder.join(COMPONENTS_FILE), folder.join(COMPONENTS_DIRECTORY)));
        Self {
            user_binaries: paths.state_dir.join(COMPONENTS_DIRECTORY),
            // In a workspace that is the user's own directory one file can be both; then it is the user's.
            project: project.filter(|(list, _)| *list != user),
            user,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(pairs: &[(&str, &str)]) -> Result<Paths, PathsError> {
        Paths::from_environment(&Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn directories_follow_xdg_then_home() {
        let paths = paths(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("XDG_CACHE_HOME", "relative")]);
        let paths = paths.unwrap();
        assert_eq!(paths.config_dir, Path::new("/h/.config/harness-host"));
        assert_eq!(paths.state_dir, Path::new("/s/harness-host"));
        assert_eq!(paths.cache_dir, Path::new("/h/.cache/harness-host"));
        assert_eq!(paths.expand("~/key"), Some(PathBuf::from("/h/key")));
        assert_eq!(paths.expand("key"), None);
    }

    #[test]
    fn one_variable_moves_everything_but_the_machine_file() {
        let paths = paths(&[("HARNESS_HOST_HOME", "/t"), ("XDG_STATE_HOME", "/s")]).unwrap();
        assert_eq!(paths.state_dir, Path::new("/t/state"));
        let files = ConfigFiles::usual(&paths, Some(Path::new("/w")));
        assert_eq!(files.user, Some(PathBuf::from("/t/config.toml")));
        assert_eq!(files.project, Some(PathBuf::from("/w/.harness-host/config.toml")));
        assert_eq!(files.machine, Some(PathBuf::from(MACHINE_CONFIG_PATH)));
    }

    #[test]
    fn without_a_home_the_missing_variable_is_named() {
        assert_eq!(paths(&[]), Err(PathsError::NoHome { variable: "XDG_CONFIG_HOME" }));
        let relative = paths(&[("HARNESS_HOST_HOME", "here")]);
        assert_eq!(relative, Err(PathsError::HomeNotAbsolute { path: "here".into() }));
    }
}
