//! Names of tools for exported functions.
//!
//! Promise: a name depends only on the component's exports; it has 1 to 64 characters of `[a-zA-Z0-9_-]`; two
//! exports never get the same one.

use crate::tools::TOOL_NAME_CHARS_MAX;
use harness_core::Digest;
use std::collections::HashMap;

/// Hexadecimal digits that tell apart what would have the same name.
const HASH_CHARS: usize = 8;
/// Parts of an interface's name that are looked at: namespace, package, version, and some of nested ones.
const PARTS_MAX: usize = 8;

/// An exported function, in the parts its name is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    /// What stands before the function's name, from the nearest: interface, package, namespace.
    before: Vec<String>,
    function: String,
    version: Option<String>,
    export: String,
}

/// How an export is written: `namespace:package/interface@1.0.0#function`, or `function` alone.
pub(crate) fn export(interface: Option<&str>, function: &str) -> String {
    interface.map_or_else(|| function.to_owned(), |interface| format!("{interface}#{function}"))
}

impl Parts {
    fn of(interface: Option<&str>, function: &str) -> Self {
        let export = export(interface, function);
        let (path, version) = match interface.and_then(|it| it.split_once('@')) {
            Some((path, version)) => (Some(path), Some(snake(version))),
            None => (interface, None),
        };
        let mut before: Vec<_> = path.map(|path| path.split(['/', ':']).map(snake).collect()).unwrap_or_default();
        before.reverse();
        Self { before, function: snake(function), version, export }
    }

    /// The name with so many parts before the function's; with more than there are, with the version too.
    fn name(&self, parts: usize) -> String {
        let mut words: Vec<_> = self.before.iter().take(parts).rev().map(String::as_str).collect();
        words.push(&self.function);
        words.extend(self.version.as_deref().filter(|_| parts > self.before.len()));
        let name = words.join("_");
        if name.is_empty() { "tool".to_owned() } else { name }
    }

    fn hashed(&self, name: &str) -> String {
        let hash: String = Digest::of(self.export.as_bytes()).hex().chars().take(HASH_CHARS).collect();
        let kept: String = name.chars().take(TOOL_NAME_CHARS_MAX - HASH_CHARS - 1).collect();
        format!("{kept}_{hash}")
    }
}

/// Only what a name may have: kebab becomes snake.
fn snake(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The names of exported functions, each given by its interface and its own name.
pub(crate) fn names(functions: &[(Option<&str>, &str)]) -> Vec<String> {
    let parts: Vec<_> = functions.iter().map(|(interface, function)| Parts::of(*interface, function)).collect();
    // Interface first; then package, namespace and version for those that would be equal.
    let mut used = vec![1_usize; parts.len()];
    let most = parts.iter().map(|it| it.before.len() + 1).max().unwrap_or(0);
    for _ in 1..most.min(PARTS_MAX) {
        let equal = shared(&spelled(&parts, &used));
        if equal.is_empty() {
            break;
        }
        for at in equal {
            if let Some(used) = used.get_mut(at) {
                *used += 1;
            }
        }
    }
    let mut names = spelled(&parts, &used);
    let equal = shared(&names);
    for (at, (name, parts)) in names.iter_mut().zip(&parts).enumerate() {
        if equal.contains(&at) || name.chars().count() > TOOL_NAME_CHARS_MAX {
            *name = parts.hashed(name);
        }
    }
    names
}

fn spelled(parts: &[Parts], used: &[usize]) -> Vec<String> {
    parts.iter().zip(used).map(|(parts, used)| parts.name(*used)).collect()
}

/// The places of names that are there more than once.
fn shared(names: &[String]) -> std::collections::HashSet<usize> {
    let mut count = HashMap::<&str, usize>::new();
    for name in names {
        *count.entry(name).or_default() += 1;
    }
    let is_shared = |name: &String| count.get(name.as_str()).is_some_and(|count| *count > 1);
    names.iter().enumerate().filter(|(_, name)| is_shared(name)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_until_they_must_be_longer() {
        let long = "a".repeat(80);
        let cut = format!("{}_0f45e858", "a".repeat(55));
        type Row<'a> = (&'a [(Option<&'a str>, &'a str)], &'a [&'a str]);
        let table: [Row<'_>; 8] = [
            (&[(None, "do-it")], &["do_it"]),
            (&[(Some("a:b/c-d@1.0.0"), "e-f"), (Some("plain"), "e-f")], &["c_d_e_f", "plain_e_f"]),
            (&[(Some("a:b/i"), "f"), (Some("a:c/i"), "f")], &["b_i_f", "c_i_f"]),
            (&[(Some("a:b/i"), "f"), (Some("x:b/i"), "f"), (Some("x:b/j"), "f")], &["a_b_i_f", "x_b_i_f", "j_f"]),
            (&[(Some("a:b/i@1.0.0"), "f"), (Some("a:b/i@2.0.0"), "f")], &["a_b_i_f_1_0_0", "a_b_i_f_2_0_0"]),
            // Nothing tells these apart but a hash of the export.
            (&[(None, "i-f"), (Some("i"), "f")], &["i_f_a764a7cd", "i_f_57160dda"]),
            (&[(None, &long)], &[&cut]),
            (&[(None, &long), (None, "other")], &[&cut, "other"]),
        ];
        for (functions, expected) in table {
            let names = names(functions);
            assert_eq!(names, expected);
            assert!(names.iter().all(|name| crate::tools::is_tool_name(name)), "{names:?}");
        }
    }
}
