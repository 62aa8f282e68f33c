//! Who we are and whether somebody else is still there.
//!
//! Promise: a holder is called gone only if that is certain: the machine was restarted, or it is this
//! machine and no process has its number and start time. In doubt it lives.

use harness_engine::ports::Holder;

/// Separates the parts of a machine's name; replaced within them.
const SEPARATOR: char = '|';

/// This process, as the holder of a session.
///
/// On Linux the machine is the host name with `/etc/machine-id`, the boot id
/// (`/proc/sys/kernel/random/boot_id`) and the PID namespace; the start is field 22 of
/// `/proc/self/stat`, in clock ticks since boot (proc(5)). Elsewhere it is the host name alone and no start.
pub fn this_process() -> Holder {
    let pid = std::process::id();
    Holder { machine: machine(), pid, process_start: started(pid).unwrap_or(0) }
}

/// Whether a holder is certainly gone.
pub fn is_gone(holder: &Holder) -> bool {
    is_gone_seen_from(&machine(), holder)
}

fn is_gone_seen_from(here: &str, holder: &Holder) -> bool {
    if holder.machine != here {
        return was_restarted(&holder.machine, here);
    }
    match state_and_start(holder.pid) {
        Presence::Absent => true,
        // A zombie has ended: only its parent has not looked yet.
        Presence::Present { start, ended } => ended || start.is_some_and(|start| start != holder.process_start),
        Presence::Unknown => false,
    }
}

/// Whether `theirs` names an earlier boot of this machine. Another machine of the same name cannot share
/// the store: its write-ahead log needs memory shared by all who have it open.
fn was_restarted(theirs: &str, here: &str) -> bool {
    let parts = |name: &str| -> Option<(String, String)> {
        let mut parts = name.split(SEPARATOR);
        let (host, boot) = (parts.next()?, parts.next()?);
        (!host.is_empty() && !boot.is_empty()).then(|| (host.to_owned(), boot.to_owned()))
    };
    match (parts(theirs), parts(here)) {
        (Some((their_host, their_boot)), Some((host, boot))) => their_host == host && their_boot != boot,
        _ => false,
    }
}

fn machine() -> String {
    let clean = |text: &str| text.trim().replace([SEPARATOR, '\n'], "_");
    let host = clean(&rustix::system::uname().nodename().to_string_lossy());
    let read = |path: &str| std::fs::read_to_string(path).map(|text| clean(&text)).ok().filter(|text| !text.is_empty());
    let Some(boot) = read("/proc/sys/kernel/random/boot_id") else { return host };
    let id = read("/etc/machine-id").unwrap_or_default();
    let namespace =
        std::fs::read_link("/proc/self/ns/pid").map(|link| clean(&link.to_string_lossy())).unwrap_or_default();
    format!("{host}.{id}{SEPARATOR}{boot}{SEPARATOR}{namespace}")
}

enum Presence {
    Absent,
    Present { start: Option<u64>, ended: bool },
    Unknown,
}

fn started(pid: u32) -> Option<u64> {
    match state_and_start(pid) {
        Presence::Present { start, .. } => start,
        Presence::Absent | Presence::Unknown => None,
    }
}

fn state_and_start(pid: u32) -> Presence {
    if cfg!(target_os = "linux") {
        return match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => match parse_stat(&stat) {
                Some((state, start)) => {
                    Presence::Present { start: Some(start), ended: matches!(state, 'Z' | 'X' | 'x') }
                }
                None => Presence::Unknown,
            },
            // Hidden processes (hidepid) also read as absent: ask the kernel by number as well.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => by_signal(pid),
            Err(_) => Presence::Unknown,
        };
    }
    by_signal(pid)
}

fn by_signal(pid: u32) -> Presence {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Presence::Unknown };
    match rustix::process::test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => Presence::Absent,
        Ok(()) | Err(_) => Presence::Present { start: None, ended: false },
    }
}

/// State and start time of `/proc/PID/stat`: fields 3 and 22 (proc(5)). The second field is the
/// program's name in parentheses and may itself hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 is the 19th after field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_confuse() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 10";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn we_live_and_a_reused_number_is_another_process() {
        let ours = this_process();
        assert!(!is_gone(&ours));
        if cfg!(target_os = "linux") {
            assert!(is_gone(&Holder { process_start: ours.process_start + 1, ..ours }));
        }
    }

    #[test]
    fn a_child_that_ended_is_gone_before_and_after_its_parent_looked() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let holder = Holder { machine: machine(), pid: child.id(), process_start: started(child.id()).unwrap_or(0) };
        assert!(!is_gone(&holder));
        child.kill().unwrap();
        // SIGKILL takes effect some time later; a zombie shows it without a wait for the child.
        if cfg!(target_os = "linux") {
            while !is_gone(&holder) {
                std::thread::yield_now();
            }
        }
        child.wait().unwrap();
        assert!(is_gone(&holder));
    }

    #[test]
    fn another_machine_is_never_gone_but_an_earlier_boot_of_this_one_is() {
        let holder = |machine: &str| Holder { machine: machine.to_owned(), pid: 1, process_start: 1 };
        let here = "laptop.id|boot2|pid:[1]";
        for (machine, gone) in [
            ("laptop.id|boot1|pid:[1]", true),
            ("laptop.id|boot2|pid:[2]", false),
            ("other.id|boot1|pid:[1]", false),
            ("laptop.id", false),
            ("|boot1|", false),
            ("", false),
        ] {
            assert_eq!(is_gone_seen_from(here, &holder(machine)), gone, "{machine}");
        }
    }
}
