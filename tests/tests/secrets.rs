//! A key is sent to its provider and appears nowhere else, wherever it came from and whatever goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_sim::http_server::{HttpServer, Reply};
use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::provider::Wire;
use harness_tests::secret::{self, KEY};
use harness_tests::wire_text::Response;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The file of the home that holds the key because the user put it there.
const KEY_FILE: &str = "home/key";

fn clean(place: &Place, ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!secret::is_in(text.as_bytes()), "the key is in the output: {text}");
    }
    let leaks = secret::files_with_key(&place.root(), &[KEY_FILE]);
    assert!(leaks.is_empty(), "the key is in {leaks:?}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// How the key gets to the program.
enum From {
    Environment,
    File,
}

/// Everything that can go right or wrong, with the key in it as a malicious or careless server would put it.
fn replies(wire: Wire) -> Vec<Reply> {
    let echo = format!("{{\"error\":{{\"type\":\"authentication_error\",\"message\":\"wrong key {KEY}\"}}}}");
    let flagged =
        format!("{{\"error\":{{\"type\":\"invalid_request_error\",\"message\":\"Bearer {KEY} sent {KEY}\"}}}}");
    vec![
        Reply::stream(&Response::text("fine").stream(wire)),
        Reply::status(401, &[("content-type", "application/json")], &echo),
        Reply::status(400, &[("content-type", "application/json")], &flagged),
        Reply::status(302, &[("location", &format!("http://127.0.0.1:1/?key={KEY}"))], ""),
        Reply::stream(format!("data: {{\"oops\": \"{KEY}\" \n\n").as_bytes()),
    ]
}

fn run(wire: Wire, from: &From) {
    let runtime = runtime();
    let place = Place::new();
    place.write("a.txt", "one\n");
    let count = replies(wire).len();
    let server = runtime.block_on(HttpServer::start(replies(wire))).unwrap();
    let setup = |command: &mut Command| {
        // The most talkative log there is.
        command.env("HARNESS_HOST_LOG", "trace").args(["--set", "limits.retry-attempts-max = 0"]);
        let environment = wire.environment(&server.url(), KEY);
        let environment =
            environment.into_iter().filter(|(_, value)| matches!(from, From::Environment) || value != KEY);
        command.envs(environment);
    };
    let name = if wire == Wire::Anthropic { "anthropic" } else { "openai" };
    let mut config = format!("[providers.{name}]\nwire = \"{}\"\n", wire.name());
    if matches!(from, From::File) {
        let path = place.root().join(KEY_FILE);
        std::fs::write(&path, format!("{KEY}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        config.push_str(&format!("key-file = \"{}\"\n", path.display()));
    }
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    for number in 0..count {
        let mut command = place.run(if number % 2 == 0 { &["say it", "--json"] } else { &["say it"] });
        setup(&mut command);
        let ran = finish(&mut command, None);
        assert_eq!(ran.code, Some(i32::from(number > 0)), "reply {number}: {ran:?}");
        clean(&place, &ran);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), count);
    for request in &requests {
        let header = request.header("x-api-key").or_else(|| request.header("authorization")).unwrap_or_default();
        assert!(header.ends_with(KEY), "the provider gets the key");
        assert!(!secret::is_in(&request.body), "only in its header");
    }
    for session in log::sessions(&place) {
        let export = log::verify_session(&place, &session).unwrap();
        assert!(!secret::is_in(export.as_bytes()));
    }
    for words in [&["config", "show"][..], &["config", "show", "--json"], &["sessions", "list"]] {
        let mut command = place.program();
        command.args(words);
        setup(&mut command);
        let ran = finish(&mut command, None);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        clean(&place, &ran);
    }
    // The server has no list of models: doctor says so, without the key.
    let mut command = place.program();
    command.args(["doctor", "--json"]);
    setup(&mut command);
    clean(&place, &finish(&mut command, None));
}

#[test]
fn a_key_from_the_environment_stays_secret() {
    for wire in [Wire::Anthropic, Wire::OpenAiChat, Wire::OpenAiResponses] {
        run(wire, &From::Environment);
    }
}

#[test]
fn a_key_from_a_file_stays_secret() {
    run(Wire::Anthropic, &From::File);
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let place = Place::new();
    let path = place.root().join(KEY_FILE);
    std::fs::write(&path, KEY).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = format!("model = \"anthropic/m\"\n[providers.anthropic]\nkey-file = \"{}\"\n", path.display());
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    let ran = finish(&mut place.run(&["say it"]), None);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&path.display().to_string()), "{}", ran.stderr);
    clean(&place, &ran);
}

#[test]
fn a_key_in_a_configuration_file_is_refused_without_repeating_it() {
    let place = Place::new();
    for config in [
        format!("[providers.anthropic]\napi-key = \"{KEY}\"\n"),
        format!("[providers.anthropic]\nkey-env = \"{KEY}\"\n"),
    ] {
        let path = place.home().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let ran = finish(&mut place.run(&["say it"]), None);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        std::fs::remove_file(path).unwrap();
        clean(&place, &ran);
    }
}

#[test]
fn tools_do_not_see_the_environment_or_the_key() {
    let place = Place::new();
    let script =
        "TOOL grep {\"pattern\":\"sk-e2e\"}\nTOOL glob {\"pattern\":\"**/*\"}\nTOOL list_dir {\"path\":\"..\"}";
    let mut command = place.run(&["-m", "offline/offline", script, "--json"]);
    command.env("ANTHROPIC_API_KEY", KEY);
    let ran = finish(&mut command, None);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    clean(&place, &ran);
}
