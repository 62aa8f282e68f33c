//! What all lists of the configuration's grants must do.

use harness_engine::ports::GrantLists;

/// The component that the cases' grants are for.
pub const COMPONENT: &str = "fetch";
/// What the cases' grants name as their source.
pub const SOURCE: &str = "user";

/// Runs every case. `write` makes these capabilities all that [`SOURCE`] grants.
pub async fn run_all(lists: &dyn GrantLists, mut write: impl FnMut(&[&str])) {
    let (get, post) = ("http GET https://a.example", "http POST https://b.example");
    // Given, given and revoked at once, replaced by what is as long, revoked, and given again.
    for written in [&[get][..], &[get, post], &[post], &[get], &[], &[], &[get]] {
        write(written);
        let told = lists.changed().await.expect("what was written is told");
        let own = told.iter().filter(|grant| grant.component == COMPONENT && grant.source == SOURCE);
        let own: Vec<String> = own.map(|grant| grant.capability.to_string()).collect();
        assert_eq!(own, written);
        if let Some(again) = lists.changed().await {
            assert_eq!(again, told, "where nothing was written nothing else is told");
        }
    }
}
