//! A library.

pub fn answer() -> u32 {
    41
}
