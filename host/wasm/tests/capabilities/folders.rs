//! Folders: read, write, a part of the workspace, scratch, none.

use crate::lab::{Lab, assert_not_granted, assert_over, refused, returned};
use harness_core::event::Changes;
use harness_core::outcome::LimitName;
use serde_json::json;

/// Every change, with whether what refuses it says that the folder is to be read only. Through a file that was opened
/// for reading, and where guests can do it nowhere, another reason comes first.
const CHANGES: &[(&str, &str, bool)] = &[
    ("write", "a.txt", true),
    ("write", "new.txt", true),
    ("append", "a.txt", true),
    ("create", "new.txt", true),
    ("create-only", "a.txt", true),
    ("truncate", "a.txt", true),
    ("resize", "a.txt", true),
    ("write-read-only", "a.txt", false),
    ("resize-read-only", "a.txt", false),
    ("times", "a.txt", true),
    ("rename", "a.txt", true),
    ("link", "a.txt", false),
    ("remove", "a.txt", true),
    ("make-folder", "new", true),
    ("remove-folder", "sub/empty", true),
];

#[tokio::test]
async fn what_may_only_be_read_is_changed_by_nothing() {
    let lab = Lab::new();
    std::fs::create_dir(lab.work.path().join("sub/empty")).unwrap();
    for (how, path, says_so) in CHANGES {
        let arguments = json!({
            "how": how, "content": "x", "path": format!("/workspace/{path}"), "to": "/workspace/moved.txt", "hide": true
        });
        let report = lab.call("change", arguments.clone(), &["filesystem read /workspace"]).await;
        assert_ne!(returned(&report), "changed", "{how} {path}");
        assert_eq!(report.changes, Changes::None, "{how} {path}");
        let needed = if *says_so { &["filesystem write /workspace"][..] } else { &[] };
        assert_eq!(refused(&report), needed, "{how} {path}: {}", returned(&report));
        let report = lab.call("change", arguments, &["filesystem write /workspace"]).await;
        let is_possible = !matches!(*how, "write-read-only" | "resize-read-only" | "link");
        assert_eq!(returned(&report) == "changed", is_possible, "{how} {path}: {}", returned(&report));
        assert_eq!(refused(&report), [""; 0], "{how} {path}");
    }
    let arguments = json!({ "how": "remove", "path": "/workspace/a.txt" });
    let report = lab.call("change", arguments, &["filesystem read /workspace"]).await;
    assert_not_granted(&report, "filesystem write /workspace");
}

#[tokio::test]
async fn a_part_of_the_workspace_is_all_there_is() {
    let lab = Lab::new();
    std::os::unix::fs::symlink("sub", lab.work.path().join("link")).unwrap();
    std::os::unix::fs::symlink("../a.txt", lab.work.path().join("sub/out")).unwrap();
    let read = |path: &str| json!({ "path": path });
    let sub = &["filesystem read /workspace/sub"];
    assert_eq!(returned(&lab.call("read", read("/workspace/sub/b.txt"), sub).await), "b");
    for path in ["/workspace/a.txt", "/workspace/sub/../a.txt", "/workspace/sub/out", "/workspace/link/b.txt", "/a.txt"]
    {
        let report = lab.call("read", read(path), sub).await;
        assert!(!report.outcome.is_success(), "{path}: {:?}", report.outcome);
    }
    // A link in the workspace does not decide what was granted; nor does what is not there.
    for granted in ["filesystem write /workspace/link", "filesystem write /workspace/missing", "filesystem read /skill"]
    {
        for path in ["/workspace/link/b.txt", "/workspace/sub/b.txt"] {
            let report = lab.call("read", read(path), &[granted]).await;
            assert!(!report.outcome.is_success(), "{granted}, {path}: {:?}", report.outcome);
        }
    }
    let report = lab.call("read", read("/workspace/a.txt"), &[]).await;
    assert_not_granted(&report, "filesystem read /workspace");
}

#[tokio::test]
async fn where_folders_overlap_the_longest_counts() {
    let lab = Lab::new();
    let granted = &["filesystem read /workspace", "filesystem write /workspace/sub"];
    let write = |path: &str| json!({ "how": "write", "path": path, "content": "new" });
    let report = lab.call("change", write("/workspace/sub/b.txt"), granted).await;
    let Changes::Staged { manifest } = &report.changes else { panic!("{:?}", report.outcome) };
    assert_eq!(manifest.entries().iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["sub/b.txt"]);
    let report = lab.call("change", write("/workspace/a.txt"), granted).await;
    assert_not_granted(&report, "filesystem write /workspace");
    let listed = lab.call("list", json!({ "path": "/workspace" }), granted).await;
    assert_eq!(returned(&listed), "a.txt,sub");
    let over = ["filesystem write /workspace", "limit staged-bytes 2"];
    assert_over(&lab.call("change", write("/workspace/a.txt"), &over).await, LimitName::StagedBytes, 2);
}

#[tokio::test]
async fn scratch_is_the_calls_own_and_gone_with_it() {
    let lab = Lab::new();
    let write = json!({ "how": "write", "path": "/scratch/x.txt", "content": "new" });
    let granted = &["filesystem write /scratch"];
    let report = lab.call("change", write.clone(), granted).await;
    assert_eq!((returned(&report).as_str(), &report.changes), ("changed", &Changes::None));
    assert_eq!(returned(&lab.call("list", json!({ "path": "/scratch" }), granted).await), "(no output)");
    let report = lab.call("change", write.clone(), &["filesystem write /scratch", "limit staged-bytes 2"]).await;
    assert_over(&report, LimitName::StagedBytes, 2);
    let report = lab.call("change", write.clone(), &["filesystem read /scratch"]).await;
    assert_not_granted(&report, "filesystem write /scratch");
    let named = &["filesystem write /scratch/one/two"];
    let within = json!({ "how": "write", "path": "/scratch/one/two/x.txt", "content": "new" });
    assert_eq!(returned(&lab.call("change", within, named).await), "changed");
    assert!(!lab.call("change", write, named).await.outcome.is_success());
}
