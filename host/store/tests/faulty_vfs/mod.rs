//! A file system under the real SQLite that forgets what was not synced.
//!
//! Promise: files behave as the system's own, through its own locks and shared memory, until the power
//! is cut; from then on every change fails. What is left on the disk is what xSync covered, plus any
//! part, in sectors of 512 bytes, of what it did not. It can also fail syncs and writes on the way. After a kill
//! instead of a cut, everything that was written can still be read, and is as much on the disk as before.
//!
//! Not here: files that do not go through SQLite.

use libsqlite3_sys as ffi;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::size_of;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What a disk writes whole or not at all. Bytes.
const SECTOR_BYTES: usize = 512;

/// How long a slow sync takes. Milliseconds.
const SLOW_SYNC_MS: u64 = 3;

pub(crate) use harness_sim::random::Random;

/// How often an operation fails, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) sync_fails_per_mille: u64,
    pub(crate) disk_full_per_mille: u64,
    pub(crate) short_write_per_mille: u64,
    pub(crate) read_fails_per_mille: u64,
    /// Syncs that take [`SLOW_SYNC_MS`].
    pub(crate) slow_sync_per_mille: u64,
}

/// How often each fault was injected.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Injected {
    pub(crate) syncs: u64,
    pub(crate) full: u64,
    pub(crate) short: u64,
    pub(crate) reads: u64,
    pub(crate) slow: u64,
    /// Writes that no sync covered when the power went: lost altogether.
    pub(crate) dropped: u64,
    /// The same, some of their sectors on the disk and some not.
    pub(crate) torn: u64,
}

impl Injected {
    /// Adds what another disk injected.
    pub(crate) fn add(&mut self, other: Self) {
        self.syncs += other.syncs;
        self.full += other.full;
        self.short += other.short;
        self.reads += other.reads;
        self.slow += other.slow;
        self.dropped += other.dropped;
        self.torn += other.torn;
    }
}

#[derive(Clone)]
enum Step {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Step {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Truncate(size) => content.resize(*size, 0),
        }
    }

    /// Some of the sectors of a write; a truncation happens or does not. Gives how many did and how many did not.
    fn apply_torn(&self, content: &mut Vec<u8>, random: &mut Random) -> (u64, u64) {
        let Self::Write { offset, bytes } = self else {
            if random.below(2) == 0 {
                self.apply(content);
                return (1, 0);
            }
            return (0, 1);
        };
        let (mut from, mut kept, mut lost) = (0, 0, 0);
        while from < bytes.len() {
            // Sectors are counted from the start of the file.
            let to = (from + SECTOR_BYTES - (offset + from) % SECTOR_BYTES).min(bytes.len());
            if random.below(2) == 0 {
                Self::Write { offset: offset + from, bytes: bytes[from..to].to_vec() }.apply(content);
                kept += 1;
            } else {
                lost += 1;
            }
            from = to;
        }
        (kept, lost)
    }
}

/// One file: what is certainly on the disk, and what is only on its way.
#[derive(Default, Clone)]
struct Image {
    path: PathBuf,
    durable: Vec<u8>,
    pending: Vec<Step>,
    /// Whether its name is on the disk.
    is_named: bool,
    /// What the name stood for before, where a deletion is not yet on the disk.
    before: Option<Vec<u8>>,
    is_deleted: bool,
}

struct State {
    files: Vec<Image>,
    random: Random,
    faults: Faults,
    injected: Injected,
    operations: u64,
    cut_at: u64,
    is_cut: bool,
    /// Syncs that fail next, with nothing of what they were for on the disk.
    syncs_to_fail: u32,
}

impl State {
    /// Counts a change. The error is what SQLite is told once the power is gone.
    fn change(&mut self, failed: c_int) -> Result<(), c_int> {
        self.operations += 1;
        self.is_cut |= self.operations >= self.cut_at;
        if self.is_cut { Err(failed) } else { Ok(()) }
    }

    fn find(&mut self, path: &Path) -> usize {
        if let Some(known) = self.files.iter().position(|image| image.path == path) {
            return known;
        }
        // Whatever is there when we first look was written before our time.
        let durable = std::fs::read(path).ok();
        let is_named = durable.is_some();
        let durable = durable.unwrap_or_default();
        self.files.push(Image { path: path.to_owned(), durable, is_named, ..Image::default() });
        self.files.len() - 1
    }
}

/// A registered file system of its own.
pub(crate) struct World {
    name: CString,
    real: *mut ffi::sqlite3_vfs,
    vfs: *mut ffi::sqlite3_vfs,
    state: Mutex<State>,
}

// SAFETY: `real` and `vfs` point to structures that are not changed after registration; SQLite calls
// through them from any thread itself. Everything that changes is behind the mutex.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

impl World {
    /// Registers a file system whose power is cut at change number `cut_at` (from 1).
    ///
    /// It is never freed: SQLite may hold on to it for as long as a connection is open.
    pub(crate) fn register(name: &str, seed: u64, cut_at: u64, faults: Faults) -> &'static Self {
        Self::register_over(name, seed, cut_at, faults, Vec::new())
    }

    fn register_over(name: &str, seed: u64, cut_at: u64, faults: Faults, files: Vec<Image>) -> &'static Self {
        let name = CString::new(name).expect("a name without NUL");
        // SAFETY: null asks for the default VFS, which lives as long as the process.
        let real = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        assert!(!real.is_null(), "SQLite has a default VFS");
        let state = State {
            files,
            random: Random(seed),
            faults,
            injected: Injected::default(),
            operations: 0,
            cut_at,
            is_cut: false,
            syncs_to_fail: 0,
        };
        let world = Box::leak(Box::new(Self { name, real, vfs: std::ptr::null_mut(), state: Mutex::new(state) }));
        // SAFETY: `real` was checked; the structure is plain data and its copy is ours. The methods that
        // are not replaced (xAccess, xRandomness, …) do not look at the VFS they are called with.
        let mut vfs = unsafe { std::ptr::read(real) };
        vfs.zName = world.name.as_ptr();
        vfs.pNext = std::ptr::null_mut();
        vfs.pAppData = std::ptr::from_mut(world).cast();
        vfs.szOsFile += size_of::<FaultyFile>() as c_int;
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        world.vfs = Box::into_raw(Box::new(vfs));
        // SAFETY: the structure and all it points to are leaked and so stay valid.
        let code = unsafe { ffi::sqlite3_vfs_register(world.vfs, 0) };
        assert_eq!(code, ffi::SQLITE_OK);
        world
    }

    /// Takes the file system out of SQLite's list.
    pub(crate) fn unregister(&self) {
        // SAFETY: it was registered; connections that are still open keep their own pointer.
        unsafe { ffi::sqlite3_vfs_unregister(self.vfs) };
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    pub(crate) fn injected(&self) -> Injected {
        self.state().injected
    }

    /// Has the next syncs fail, with nothing of what they were for on the disk.
    pub(crate) fn fail_syncs(&self, count: u32) {
        self.state().syncs_to_fail = count;
    }

    /// Cuts the power if it is still there; or ends the process, where [`Self::after_kill`] follows.
    pub(crate) fn cut(&self) {
        self.state().is_cut = true;
    }

    /// The file system as the next process finds it, in another folder, after this one was killed: it reads all
    /// that was written, also what a failed sync did not bring to the disk and no later one will.
    pub(crate) fn after_kill(&self, name: &str, cut_at: u64, folder: &Path) -> &'static Self {
        let mut state = self.state();
        assert!(state.is_cut, "the process still runs");
        let mut files = state.files.clone();
        for image in &mut files {
            let path = folder.join(image.path.file_name().expect("a file has a name"));
            if image.path.exists() {
                std::fs::copy(&image.path, &path).expect("copy a file");
            }
            image.path = path;
        }
        let seed = state.random.next();
        Self::register_over(name, seed, cut_at, state.faults, files)
    }

    /// Writes what the disk holds after the cut into another folder.
    pub(crate) fn leave_behind(&self, folder: &Path) {
        let mut state = self.state();
        assert!(state.is_cut, "the power is still there");
        let state = &mut *state;
        for image in &state.files {
            let name = image.path.file_name().expect("a file has a name");
            if let Some(content) = after_cut(image, &mut state.random, &mut state.injected) {
                std::fs::write(folder.join(name), content).expect("write the image");
            }
        }
    }
}

/// Makes every creation and deletion so far durable.
fn sync_names(files: &mut [Image]) {
    for image in files {
        image.is_named = !image.is_deleted;
        image.before = None;
        if image.is_deleted {
            image.durable.clear();
        }
    }
}

fn after_cut(image: &Image, random: &mut Random, injected: &mut Injected) -> Option<Vec<u8>> {
    if !image.is_named || image.is_deleted {
        match random.below(3) {
            0 => return image.before.clone(),
            1 if image.is_deleted => return None,
            _ => {}
        }
    }
    let mut content = image.durable.clone();
    // Nothing of it, all of it, or any of it.
    let mode = random.below(4);
    for step in &image.pending {
        match (mode, random.below(3)) {
            (0, _) | (2.., 0) => injected.dropped += 1,
            (1, _) | (2.., 1) => step.apply(&mut content),
            _ => match step.apply_torn(&mut content, random) {
                (0, _) => injected.dropped += 1,
                (_, 0) => {}
                (_, _) => injected.torn += 1,
            },
        }
    }
    Some(content)
}

/// An open file: ours, directly followed in memory by the real one.
#[repr(C)]
struct FaultyFile {
    base: ffi::sqlite3_file,
    world: *const World,
    /// Its image, or `UNTRACKED`.
    image: usize,
}

/// Temporary files: nobody expects them after a crash.
const UNTRACKED: usize = usize::MAX;

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 2: shared memory, but no memory-mapped reads.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The real file that follows ours.
///
/// SAFETY (for callers): `file` was opened by [`open`], so that SQLite reserved `szOsFile` bytes for both.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: one FaultyFile further is still inside the allocation; its size is a multiple of its
    // alignment, which is that of a pointer, as the real file's.
    unsafe { file.cast::<FaultyFile>().add(1).cast() }
}

/// Calls a method of the real file.
macro_rules! forward {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: SQLite calls our methods only with files that `open` opened successfully; the real
        // file was opened then and has its methods.
        unsafe {
            let real = real($file);
            match (*(*real).pMethods).$method {
                Some(method) => method(real $(, $argument)*),
                None => ffi::SQLITE_IOERR,
            }
        }
    }};
}

/// World and image of an open file.
fn parts(file: *mut ffi::sqlite3_file) -> (&'static World, usize) {
    // SAFETY: SQLite gives us a file that `open` filled in; worlds are never freed.
    unsafe {
        let ours = file.cast::<FaultyFile>();
        (&*(*ours).world, (*ours).image)
    }
}

fn world_of(vfs: *mut ffi::sqlite3_vfs) -> &'static World {
    // SAFETY: SQLite calls with the VFS that was registered; its pAppData is the leaked world.
    unsafe { &*(*vfs).pAppData.cast::<World>() }
}

fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: SQLite's file names end in NUL.
    let name = unsafe { CStr::from_ptr(name) };
    PathBuf::from(name.to_str().expect("test folders have plain names"))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let world = world_of(vfs);
    let tracked = ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL;
    let mut state = world.state();
    let mut image = UNTRACKED;
    if !name.is_null() && flags & tracked != 0 {
        let path = path_of(name);
        if !path.exists() && state.change(ffi::SQLITE_CANTOPEN).is_err() {
            // SAFETY: null methods tell SQLite that there is nothing to close.
            unsafe { (*file).pMethods = std::ptr::null() };
            return ffi::SQLITE_CANTOPEN;
        }
        image = state.find(&path);
        let known = &mut state.files[image];
        if known.is_deleted {
            *known = Image { path, before: known.before.take(), ..Image::default() };
        }
    }
    // SAFETY: SQLite reserved szOsFile bytes; `real` is the VFS that this file really belongs to.
    unsafe {
        let code = (*world.real)
            .xOpen
            .map_or(ffi::SQLITE_CANTOPEN, |open| open(world.real, name, real(file), flags, out_flags));
        let ours = file.cast::<FaultyFile>();
        (*ours).world = world;
        (*ours).image = image;
        (*ours).base.pMethods = if code == ffi::SQLITE_OK { &raw const METHODS } else { std::ptr::null() };
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let world = world_of(vfs);
    let mut state = world.state();
    if state.change(ffi::SQLITE_IOERR_DELETE).is_err() {
        return ffi::SQLITE_IOERR_DELETE;
    }
    let path = path_of(name);
    if path.exists() {
        let index = state.find(&path);
        let image = &mut state.files[index];
        let before = if image.is_named { Some(std::mem::take(&mut image.durable)) } else { image.before.take() };
        *image = Image { path, before, is_deleted: true, ..Image::default() };
        // What is durable is what stood there before, if anything does.
        image.durable = image.before.clone().unwrap_or_default();
        if sync_folder != 0 {
            sync_names(&mut state.files);
        }
    }
    // SAFETY: the real VFS gets its own pointer and SQLite's name.
    unsafe { (*world.real).xDelete.map_or(ffi::SQLITE_IOERR, |delete| delete(world.real, name, sync_folder)) }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, data: *const c_void, amount: c_int, offset: i64) -> c_int {
    let (world, image) = parts(file);
    let mut state = world.state();
    if image == UNTRACKED {
        return forward!(file, xWrite, data, amount, offset);
    }
    if state.change(ffi::SQLITE_IOERR_WRITE).is_err() {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let faults = state.faults;
    if state.random.per_mille(faults.disk_full_per_mille) {
        state.injected.full += 1;
        return ffi::SQLITE_FULL;
    }
    let is_short = state.random.per_mille(faults.short_write_per_mille);
    let written = if is_short { amount / 2 } else { amount };
    // SAFETY: SQLite gives a buffer of `amount` bytes, and `written` is no more.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), written as usize) }.to_vec();
    state.files[image].pending.push(Step::Write { offset: offset as usize, bytes });
    let code = forward!(file, xWrite, data, written, offset);
    if is_short {
        state.injected.short += 1;
        return ffi::SQLITE_FULL;
    }
    code
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let (world, image) = parts(file);
    let mut state = world.state();
    if image != UNTRACKED {
        if state.change(ffi::SQLITE_IOERR_TRUNCATE).is_err() {
            return ffi::SQLITE_IOERR_TRUNCATE;
        }
        state.files[image].pending.push(Step::Truncate(size as usize));
    }
    forward!(file, xTruncate, size)
}

/// Nothing is really synced: the test's disk is the image.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    let (world, image) = parts(file);
    let mut state = world.state();
    if image == UNTRACKED {
        return ffi::SQLITE_OK;
    }
    if state.change(ffi::SQLITE_IOERR_FSYNC).is_err() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    let State { files, random, faults, injected, syncs_to_fail, .. } = &mut *state;
    if random.per_mille(faults.slow_sync_per_mille) {
        injected.slow += 1;
        std::thread::sleep(std::time::Duration::from_millis(SLOW_SYNC_MS));
    }
    let image = &mut files[image];
    let forgets = *syncs_to_fail > 0;
    *syncs_to_fail = syncs_to_fail.saturating_sub(1);
    let fails = forgets || random.per_mille(faults.sync_fails_per_mille);
    for step in std::mem::take(&mut image.pending) {
        // After a failed fsync the system forgets which pages were dirty: a later one does not bring
        // back what this one did not write.
        if !fails || !forgets && random.below(2) == 0 {
            step.apply(&mut image.durable);
        }
    }
    if fails {
        injected.syncs += 1;
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // The system's VFS syncs the folder together with a file it has made (UNIXFILE_DIRSYNC), and with
    // it every name in the folder.
    if !image.is_named {
        sync_names(files);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    forward!(file, xClose)
}
unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, data: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let (world, image) = parts(file);
    let mut state = world.state();
    let faults = state.faults;
    if image != UNTRACKED && state.random.per_mille(faults.read_fails_per_mille) {
        state.injected.reads += 1;
        return ffi::SQLITE_IOERR_READ;
    }
    drop(state);
    forward!(file, xRead, data, amount, offset)
}
unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    forward!(file, xFileSize, size)
}
unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file, xLock, level)
}
unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file, xUnlock, level)
}
unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    forward!(file, xCheckReservedLock, out)
}
unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    forward!(file, xFileControl, operation, argument)
}
unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    forward!(file, xSectorSize)
}
unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    forward!(file, xDeviceCharacteristics)
}
unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    forward!(file, xShmMap, region, size, extend, out)
}
unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    forward!(file, xShmLock, offset, count, flags)
}
unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: as in `forward!`, for a method without a result.
    unsafe {
        let real = real(file);
        if let Some(barrier) = (*(*real).pMethods).xShmBarrier {
            barrier(real);
        }
    }
}
unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    forward!(file, xShmUnmap, delete)
}
