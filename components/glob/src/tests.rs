//! What `glob` finds, and what it says when it finds nothing or too much.

use super::*;

fn tree() -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        "main.rs",
        "README.md",
        "src/lib.rs",
        "src/a.ts",
        "src/deep/er/b.rs",
        "src/deep/c[1].rs",
        "target/out.rs",
        ".env",
        ".github/workflows/ci.yml",
        ".git/HEAD",
    ] {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, "").unwrap();
    }
    fs::write(folder.path().join(".gitignore"), "target\n").unwrap();
    let workspace = Workspace::at(folder.path());
    (folder, workspace)
}

fn glob(workspace: &Workspace, pattern: &str, path: Option<&str>) -> Reply {
    run(workspace, Arguments { pattern: pattern.into(), path: path.map(str::to_owned) })
}

#[test]
fn finds_by_path() {
    let (_folder, workspace) = tree();
    for (pattern, path, expected) in [
        ("*.rs", None, "main.rs"),
        ("**/*.rs", None, "main.rs src/deep/c[1].rs src/deep/er/b.rs src/lib.rs"),
        ("*.rs", Some("src"), "src/lib.rs"),
        ("src/**", None, "src/a.ts src/deep/c[1].rs src/deep/er/b.rs src/lib.rs"),
        ("./src/*.{rs,ts}", None, "src/a.ts src/lib.rs"),
        ("/workspace/src/*.ts", Some("target"), "src/a.ts"),
        ("src/deep/c\\[1\\].rs", None, "src/deep/c[1].rs"),
        ("src/lib.rs", None, "src/lib.rs"),
        ("target/*", None, "target/out.rs"),
        ("*", None, "README.md main.rs"),
        ("*", Some("target"), "target/out.rs"),
        (".*", None, ".env .gitignore"),
        ("{.env,main}*", None, ".env main.rs"),
        (".github/**/*.yml", None, ".github/workflows/ci.yml"),
        ("**/*.yml", Some(".github"), ".github/workflows/ci.yml"),
        ("[mR]*", None, "README.md main.rs"),
    ] {
        let listing = glob(&workspace, pattern, path).unwrap();
        assert_eq!(listing.lines().collect::<Vec<_>>().join(" "), expected, "{pattern} in {path:?}");
    }
}

#[test]
fn finding_nothing_says_what_to_try() {
    let (_folder, workspace) = tree();
    for (pattern, expected) in [
        ("*.ts", "[no file matches *.ts in .; looked at 6 files; **/*.ts looks in all folders]"),
        ("**/*.py", "[no file matches **/*.py in .; looked at 6 files]"),
        ("nowhere/*.rs", "[no file matches nowhere/*.rs in .; looked at 0 files]"),
        ("main.rs/*", "[no file matches main.rs/* in .; looked at 0 files]"),
    ] {
        assert_eq!(glob(&workspace, pattern, None).unwrap(), expected);
    }
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let (_folder, workspace) = tree();
    for (pattern, path, code) in [
        ("", None, "bad-pattern"),
        ("src/", None, "bad-pattern"),
        ("[a", None, "bad-pattern"),
        ("{a", None, "bad-pattern"),
        ("../*.rs", None, "bad-pattern"),
        ("/etc/*", None, "outside-workspace"),
        ("*", Some("../.."), "outside-workspace"),
        ("*", Some("main.rs"), "not-a-directory"),
        ("*", Some("sr"), "not-found"),
    ] {
        assert_eq!(glob(&workspace, pattern, path).unwrap_err().code, code, "{pattern} in {path:?}");
    }
}

#[test]
fn too_many_matches_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..501 {
        fs::write(folder.path().join(format!("{number:03}")), "").unwrap();
    }
    let workspace = Workspace::at(folder.path());
    let listing = glob(&workspace, "*", None).unwrap();
    assert!(listing.ends_with("499\n[only the first 500 matches; give a narrower pattern or a path for the rest]"));
    assert!(glob(&workspace, "0*", None).unwrap().ends_with("099\n"));
}
