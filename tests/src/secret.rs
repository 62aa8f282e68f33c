//! Looking for a secret where none may be.

use std::path::Path;

/// The key that tests give to providers. No part of it is a word of anything else.
pub const KEY: &str = "sk-e2e-Zq7Vw2Lx9Kd4Rt8Mf3Hb6Ny1";
/// So many characters of the key in a row count as the key.
const PART_CHARS: usize = 12;

/// Whether any telling part of the key is in these bytes, also in hexadecimal or base64 clothes.
pub fn is_in(bytes: &[u8]) -> bool {
    let key = KEY.as_bytes();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = key.windows(PART_CHARS).map(<[u8]>::to_vec);
    let wanted: Vec<Vec<u8>> = parts.chain([hex.into_bytes(), base64(key)]).collect();
    wanted.iter().any(|part| bytes.windows(part.len()).any(|window| window == part.as_slice()))
}

/// Standard base64 of all whole groups of three.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in bytes.chunks_exact(3) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        out.extend([18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize]));
    }
    out
}

/// The files under a folder that hold the key, but for those named.
///
/// # Panics
/// If the folder cannot be read.
pub fn files_with_key(folder: &Path, except: &[&str]) -> Vec<String> {
    let files = crate::tree::read(folder);
    // Native code is large, and made of components alone.
    let looked_at = files.iter().filter(|(name, _)| !name.ends_with(".cwasm") && !except.contains(&name.as_str()));
    looked_at.filter(|(_, bytes)| is_in(bytes)).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_every_dress() {
        assert!(is_in(format!("x{KEY}y").as_bytes()));
        assert!(is_in(&KEY.as_bytes()[4..20]));
        let hex: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(is_in(hex.as_bytes()));
        assert!(is_in(&base64(KEY.as_bytes())));
        assert!(!is_in(b"sk-e2e-"));
    }
}
