//! How the program starts, and the sentences it does not start with.

use std::net::UdpSocket;
use std::path::Path;

use http::StatusCode;
use lorraine_testkit::Certificate;

use crate::program::{Demo, Site, hash_from, on_every_event_loop, run, text};

/// Runs the program, which is to fail with one sentence that holds all of these words.
fn refused(state: &Path, args: &[&str], words: &[&str]) {
    let output = run(state, args);
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {sentence:?}");
    assert_eq!((text(&output.stdout).as_str(), sentence.lines().count()), ("", 1), "{args:?}: {sentence:?}");
    assert!(sentence.starts_with("lorraine: ") && sentence.ends_with('\n'), "{sentence:?}");
    for word in words {
        assert!(sentence.contains(word), "{args:?}: {word:?} is not in {sentence:?}");
    }
}

#[test]
fn what_is_in_the_way_of_starting_is_told_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let path = |name: &str| state.join(name).display().to_string();
    let (one, other) = (Certificate::localhost(), Certificate::localhost());
    let (cert, key) = one.write_to(state).unwrap();
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    std::fs::write(state.join("other-key.pem"), &other.key).unwrap();
    std::fs::write(state.join("file"), "no PEM").unwrap();
    let (site, missing, wrong, file) = (path(""), path("missing"), path("other-key.pem"), path("file"));

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for command in ["demo", "serve"] {
        refused(state, &[command, &site, "--listen", &addr], &["use", &addr]);
        refused(state, &[command, &missing], &[&missing]);
        refused(state, &[command, &file], &[&file, "directory"]);
        let listen = [command, &site, "--listen", "127.0.0.1:0"];
        let with = |more: &[&str], words: &[&str]| refused(state, &[&listen, more].concat(), words);
        with(&["--cert", &missing, "--key", &key], &["cannot read", &missing]);
        with(&["--cert", &cert, "--key", &missing], &["cannot read", &missing]);
        with(&["--cert", &cert, "--key", &wrong], &[&cert, &wrong]);
        with(&["--cert", &file, "--key", &key], &[&file]);
        with(&["--event-loop", "imaginary"], &["imaginary", lorraine::io::default_name()]);
        with(&["--qlog-dir", &file], &["qlog", &file]);
    }
    refused(state, &["udp-echo", "--listen", &addr], &["use", &addr]);
    refused(state, &["udp-echo", "--event-loop", "imaginary"], &["imaginary"]);
    refused(state, &["cert", "--cert", &missing], &[&missing]);
    refused(state, &["cert", "--cert", &file], &[&file]);
}

#[test]
fn version_names_lorraine_quiche_and_the_event_loops() {
    let output = run(tempfile::tempdir().unwrap().path(), &["--version"]);
    let version = text(&output.stdout);
    assert!(version.starts_with("lorraine ") && version.contains("quiche 0.30"), "{version:?}");
    for name in lorraine::io::available() {
        assert!(version.contains(name), "{version:?}");
    }
}

#[test]
fn development_certificate_is_kept_and_shown() {
    let state = tempfile::tempdir().unwrap();
    let show = || run(state.path(), &["cert"]);
    let (first, second) = (show(), show());
    assert!(first.status.success());
    assert_eq!(first.stdout, second.stdout, "kept between runs");
    let pem = text(&first.stdout);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem:?}");
    let told = text(&first.stderr);
    let sha256 = told.trim().strip_prefix("SHA-256 ").unwrap();
    let expected = lorraine::certificate::certificate_sha256(&pem).unwrap();
    assert_eq!(hash_from(sha256), *expected.as_bytes());

    let file = state.path().join("file.pem");
    std::fs::write(&file, pem).unwrap();
    let named = run(state.path(), &["cert", "--cert", file.to_str().unwrap()]);
    assert_eq!(text(&named.stdout).trim(), sha256);
}

#[test]
fn retry_always_costs_a_round_trip_and_no_request() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::with(event_loop, |command, _| {
            command.args(["--retry", "always"]);
        });
        demo.browse(async |site: Site| assert_eq!(site.get("/").await.status, StatusCode::OK));
    });
}

#[test]
fn several_workers_answer_on_one_port() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::with(event_loop, |command, _| {
            command.args(["--workers", "3"]);
        });
        for _ in 0..12 {
            demo.browse(async |site: Site| assert_eq!(site.get("/").await.status, StatusCode::OK));
        }
        demo.stop();
    });
}

#[test]
fn qlog_is_one_file_a_connection_that_a_json_reader_reads() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::with(event_loop, |command, folder| {
            command.arg("--qlog-dir").arg(folder.join("qlog"));
        });
        for _ in 0..2 {
            demo.browse(async |site: Site| assert_eq!(site.get("/download/5000").await.status, StatusCode::OK));
        }
        let dir = demo.path("qlog");
        let keep = tempfile::tempdir().unwrap();
        demo.signal("TERM");
        let mut demo = demo;
        assert!(demo.wait().success());
        let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let mut records = bytes.split(|byte| *byte == 0x1e);
            assert_eq!(records.next(), Some(&b""[..]), "the file begins with a record separator");
            let records: Vec<serde_json::Value> = records.map(|text| serde_json::from_slice(text).unwrap()).collect();
            assert!(records[0]["serialization_format"] == "JSON-SEQ", "{}", records[0]);
            let named =
                |name: &str| records.iter().any(|record| record["name"].as_str().is_some_and(|n| n.ends_with(name)));
            assert!(
                records.len() > 10 && named("packet_sent") && named("packet_received"),
                "{} records",
                records.len()
            );
        }
        drop(keep);
    });
}

#[test]
fn no_qlog_outranks_qlog_dir() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::with(event_loop, |command, folder| {
            command.arg("--no-qlog").arg("--qlog-dir").arg(folder.join("qlog"));
        });
        demo.browse(async |site: Site| assert_eq!(site.get("/").await.status, StatusCode::OK));
        let dir = demo.path("qlog");
        let files = std::fs::read_dir(dir).map_or(0, Iterator::count);
        assert_eq!(files, 0);
        demo.stop();
    });
}

#[test]
fn tls_secrets_go_where_the_variable_says() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::with(event_loop, |command, folder| {
            command.env("SSLKEYLOGFILE", folder.join("keys"));
        });
        demo.browse(async |site: Site| assert_eq!(site.get("/").await.status, StatusCode::OK));
        let keys = std::fs::read_to_string(demo.path("keys")).unwrap();
        assert!(keys.lines().count() >= 4, "{keys:?}");
        for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 "] {
            let line = keys.lines().find(|line| line.starts_with(label)).unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            assert!(words.len() == 3 && words[1].len() == 64 && words[2].len() >= 64, "{line:?}");
        }
    });
}
