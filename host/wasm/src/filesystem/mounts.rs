//! The kernel's own file systems, which no guest reaches.
//!
//! Promise: what lies on one of them is to guests as if it were not there. They hold no work of anybody's
//! but the memory, environment and settings of this process and of the machine (`/proc/self/environ`).
//!
//! Known by the type that `fstatfs` gives; a `devtmpfs` has the type of any `tmpfs`, so the file system of
//! `/dev` is known by its device. Only on Linux: elsewhere such file systems are not in reach of a folder.

use rustix::io::Errno;
use std::os::fd::AsFd;

/// Their types, as `linux/magic.h` has them: anon_inodes aside, everything that is mounted and is neither a
/// disk, memory nor network.
#[cfg(target_os = "linux")]
const KERNEL_TYPES: [u32; 21] = [
    0x0000_9fa0, // proc
    0x6265_6572, // sysfs
    0x0000_1cd1, // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x0765_5821, // resctrl
    0xcafe_4a11, // bpf
    0x6e73_6673, // nsfs
    0x5049_4446, // pidfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x4249_4e4d, // binfmt_misc
    0x6265_6570, // configfs
    0x1980_0202, // mqueue
    0x6573_5543, // fusectl
];

/// Whether something open lies on a file system of the kernel's own.
#[cfg(target_os = "linux")]
// The width of this field differs from system to system; all types have 32 bits.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn is_of_kernel(opened: impl AsFd) -> Result<bool, Errno> {
    Ok(KERNEL_TYPES.contains(&(rustix::fs::fstatfs(opened)?.f_type as u32)))
}

/// Whether something open lies on a file system of the kernel's own.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_of_kernel(_: impl AsFd) -> Result<bool, Errno> {
    Ok(false)
}

/// The device of the file system that is mounted at `/dev`, if one is.
#[allow(clippy::unnecessary_cast, reason = "its width differs from system to system")]
pub(super) fn device_of_dev() -> Option<u64> {
    let device = |path: &str| rustix::fs::stat(path).ok().map(|stat| stat.st_dev as u64);
    if cfg!(target_os = "linux") { device("/dev").filter(|&dev| device("/") != Some(dev)) } else { None }
}
