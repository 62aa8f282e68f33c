//! The cache against everything that is not what it wrote: bit flips, cuts, swaps, foreign keys.

use super::*;
use harness_core::Digest;
use proptest::prelude::*;

fn settings(root: &Path) -> CacheSettings {
    CacheSettings {
        folder: root.join("cache"),
        key_file: root.join("state/component-cache.key"),
        bytes_max: CACHE_BYTES_MAX_DEFAULT,
    }
}

fn key(component: &[u8]) -> CacheKey {
    CacheKey::new(&Digest::of(component), "engine")
}

fn entry(cache: &CompiledCache, key: &CacheKey) -> PathBuf {
    cache.folder.join(key.file_name())
}

#[test]
fn what_was_put_is_found_by_another_process() {
    let root = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(&settings(root.path())).unwrap();
    assert_eq!(cache.get(&key(b"a")), None);
    cache.put(&key(b"a"), b"code of a");
    let other = CompiledCache::open(&settings(root.path())).unwrap();
    assert_eq!(other.get(&key(b"a")).unwrap(), b"code of a");
    assert_eq!(other.get(&CacheKey::new(&Digest::of(b"a"), "another engine")), None);
}

#[test]
fn nothing_damaged_swapped_or_foreign_is_handed_out() {
    let root = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(&settings(root.path())).unwrap();
    let (a, b) = (key(b"a"), key(b"b"));
    cache.put(&a, b"code of a");
    cache.put(&b, b"code of b");
    let good = std::fs::read(entry(&cache, &a)).unwrap();

    // Every single byte counts, and so does the length.
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(entry(&cache, &a), &bad).unwrap();
        assert_eq!(cache.get(&a), None, "byte {at}");
    }
    for length in 0..good.len() {
        std::fs::write(entry(&cache, &a), &good[..length]).unwrap();
        assert_eq!(cache.get(&a), None, "cut to {length}");
    }
    std::fs::write(entry(&cache, &a), [&good[..], b"x"].concat()).unwrap();
    assert_eq!(cache.get(&a), None, "longer");

    // A sound entry under another's name.
    std::fs::copy(entry(&cache, &b), entry(&cache, &a)).unwrap();
    assert_eq!(cache.get(&a), None, "swapped");

    // Made by another host.
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = CompiledCache::open(&settings(elsewhere.path())).unwrap();
    foreign.put(&a, b"evil code");
    std::fs::copy(entry(&foreign, &a), entry(&cache, &a)).unwrap();
    assert_eq!(cache.get(&a), None, "foreign");

    // A link to a sound file, and a pipe that nobody writes to.
    let aside = root.path().join("aside");
    std::fs::write(&aside, &good).unwrap();
    std::fs::remove_file(entry(&cache, &a)).unwrap();
    std::os::unix::fs::symlink(&aside, entry(&cache, &a)).unwrap();
    assert_eq!(cache.get(&a), None, "a link");

    // Each is replaced by the next put, and the link's target stays what it was.
    cache.put(&a, b"code of a");
    assert_eq!(cache.get(&a).unwrap(), b"code of a");
    assert_eq!(std::fs::read(&aside).unwrap(), good);
}

#[test]
fn folder_files_and_key_are_private() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    std::fs::create_dir(&settings.folder).unwrap();
    std::fs::set_permissions(&settings.folder, Permissions::from_mode(0o777)).unwrap();
    let cache = CompiledCache::open(&settings).unwrap();
    cache.put(&key(b"a"), b"code");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&settings.folder), 0o700);
    assert_eq!(mode(&settings.key_file), 0o600);
    assert_eq!(mode(&entry(&cache, &key(b"a"))), 0o600);
}

#[test]
fn a_key_that_others_could_have_read_or_written_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    let cache = CompiledCache::open(&settings).unwrap();
    cache.put(&key(b"a"), b"code");
    for spoil in [
        |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap(),
        |path: &Path| std::fs::write(path, b"short").unwrap(),
        |path: &Path| {
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        },
    ] {
        let before = CompiledCache::open(&settings).unwrap();
        spoil(&settings.key_file);
        let after = CompiledCache::open(&settings).unwrap();
        assert_ne!(after.key, before.key);
        assert_eq!(after.get(&key(b"a")), None);
        assert_eq!(CompiledCache::open(&settings).unwrap().key, after.key, "the new key stays");
    }
}

#[test]
fn a_key_inside_the_cache_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut settings = settings(root.path());
    settings.key_file = settings.folder.join("key");
    assert!(matches!(CompiledCache::open(&settings), Err(OpenCacheError::KeyInside { .. })));
}

#[test]
fn processes_that_start_together_get_one_key() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| CompiledCache::open(&settings).unwrap().key)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn the_least_recently_used_make_room() {
    let root = tempfile::tempdir().unwrap();
    let mut settings = settings(root.path());
    let code = vec![7; 1000];
    settings.bytes_max = 3 * (1000 + (MAGIC.len() + MAC_BYTES) as u64);
    let cache = CompiledCache::open(&settings).unwrap();
    let keys: Vec<_> = [b"0", b"1", b"2", b"3"].iter().map(|name| key(*name)).collect();
    for (at, key) in keys[..3].iter().enumerate() {
        cache.put(key, &code);
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + at as u64);
        File::open(entry(&cache, key)).unwrap().set_modified(used).unwrap();
    }
    assert!(cache.get(&keys[0]).is_some(), "used now");
    let left_behind = cache.folder.join(format!("{TEMPORARY}0123"));
    std::fs::write(&left_behind, b"half").unwrap();
    File::open(&left_behind).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    cache.put(&keys[3], &code);
    let kept: Vec<_> = keys.iter().map(|key| entry(&cache, key).exists()).collect();
    assert_eq!(kept, [true, false, true, true]);
    assert!(!left_behind.exists());
    cache.put(&key(b"huge"), &vec![0; 4000]);
    assert_eq!(cache.get(&key(b"huge")), None, "larger than the whole cache");
    assert!(cache.get(&keys[3]).is_some());
}

#[test]
fn a_cache_that_cannot_be_written_does_no_harm() {
    let root = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(&settings(root.path())).unwrap();
    std::fs::remove_dir_all(&cache.folder).unwrap();
    cache.put(&key(b"a"), b"code");
    assert_eq!(cache.get(&key(b"a")), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever lies where an entry should be: only the very bytes that were put there are handed out.
    #[test]
    fn no_mutant_of_an_entry_is_handed_out(
        code in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..40),
        length in 0_usize..40,
    ) {
        let root = tempfile::tempdir().unwrap();
        let cache = CompiledCache::open(&settings(root.path())).unwrap();
        cache.put(&key(b"a"), &code);
        let good = std::fs::read(entry(&cache, &key(b"a"))).unwrap();
        let at = at.index(good.len());
        let mut bad = good.clone();
        bad.splice(at..good.len().min(at + length), with);
        std::fs::write(entry(&cache, &key(b"a")), &bad).unwrap();
        prop_assert_eq!(cache.get(&key(b"a")), (bad == good).then_some(code));
    }
}
