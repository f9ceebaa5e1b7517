//! `lorraine get`.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::program::{Demo, lorraine, on_every_event_loop, run, text};

fn get(demo: &Demo, args: &[&str]) -> Output {
    run(&demo.path("client-state"), &[&["get"], args].concat())
}

#[test]
fn get_prints_bodies_heads_and_trailers() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        let plain = get(&demo, &["--insecure", &demo.url("/")]);
        assert!(plain.status.success(), "{}", text(&plain.stderr));
        assert_eq!((text(&plain.stdout).as_str(), text(&plain.stderr).as_str()), ("Hello, HTTP/3!\n", ""));

        let many = get(&demo, &["--insecure", "-n", "3", &demo.url("/"), &demo.url("/api/users/1")]);
        assert_eq!(text(&many.stdout), "Hello, HTTP/3!\n".repeat(3) + &"{\"id\":\"1\"}".repeat(3));

        let with_head = text(&get(&demo, &["--insecure", "-i", &demo.url("/early-hints")]).stdout);
        let heads: Vec<&str> = with_head.lines().filter(|line| line.starts_with("HTTP/3 ")).collect();
        assert_eq!(heads, ["HTTP/3 103", "HTTP/3 200"]);
        assert!(with_head.ends_with("\n\nhinted\n"), "{with_head:?}");

        let trailers = text(&get(&demo, &["--insecure", "-i", &demo.url("/download/0")]).stdout);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(trailers.ends_with(&format!("\n\n\nx-sha256: {empty}\n")), "{trailers:?}");

        let file = demo.path("heads");
        let plain = get(&demo, &["--insecure", "-D", file.to_str().unwrap(), &demo.url("/download/3")]);
        let heads = std::fs::read_to_string(file).unwrap();
        assert_eq!(plain.stdout.len(), 3);
        assert!(heads.starts_with("HTTP/3 200\n") && heads.contains("\n\n\nx-sha256: "), "{heads:?}");

        let missing = get(&demo, &["--insecure", &demo.url("/nowhere")]);
        assert_eq!(missing.status.code(), Some(22));
    });
}

#[test]
fn get_sends_methods_fields_and_data() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        let echoed = get(&demo, &["--insecure", "-d", "some data", &demo.url("/echo")]);
        assert_eq!(text(&echoed.stdout), "some data");

        let trailed = get(&demo, &["--insecure", "-i", "-d", "x", "--trailer", "x-after: 1", &demo.url("/echo")]);
        let trailed = text(&trailed.stdout);
        assert!(trailed.ends_with("\n\nx\nx-after: 1\n"), "{trailed:?}");

        let file = demo.path("data");
        std::fs::write(&file, "from a file".repeat(50_000)).unwrap();
        let saved = demo.path("saved");
        let (data, output) = (format!("@{}", file.display()), saved.display().to_string());
        let echoed = get(&demo, &["--insecure", "-d", &data, "-o", &output, &demo.url("/echo")]);
        assert!(echoed.status.success() && echoed.stdout.is_empty(), "{}", text(&echoed.stderr));
        assert_eq!(std::fs::read(saved).unwrap(), std::fs::read(file).unwrap());

        let mut command = lorraine(&demo.path("client-state"));
        command.args(["get", "--insecure", "-d", "@-", &demo.url("/upload")]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
        let answer = text(&child.wait_with_output().unwrap().stdout);
        assert!(answer.starts_with("{\"bytes\":11,"), "{answer:?}");

        let fields = get(&demo, &["--insecure", "-H", "X-Test: a value", "-H", "x-test:b", &demo.url("/headers")]);
        let fields: serde_json::Value = serde_json::from_slice(&fields.stdout).unwrap();
        assert_eq!(fields["x-test"], serde_json::json!(["a value", "b"]));

        let head = get(&demo, &["--insecure", "-i", "-X", "HEAD", &demo.url("/")]);
        let head = text(&head.stdout);
        assert!(head.starts_with("HTTP/3 200\n") && head.contains("\ncontent-length: 15\n"), "{head:?}");
        assert!(head.ends_with("\n\n"), "{head:?}");
    });
}

#[test]
fn development_certificate_is_refused_in_a_sentence_unless_insecure() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        let refused = get(&demo, &[&demo.url("/")]);
        let sentence = text(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]));
        assert_eq!(sentence.lines().count(), 1, "{sentence:?}");
        assert!(sentence.contains("certificate") && sentence.contains("--insecure"), "{sentence:?}");
    });
}

#[test]
fn bad_arguments_of_get_are_refused_in_a_sentence() {
    let state = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["http://localhost/"], "https://"),
        (&["nonsense"], "https://"),
        (&["https://no-such-host.invalid/"], "no-such-host.invalid"),
        (&["-H", "no colon", "https://127.0.0.1:1/"], "name: value"),
        (&["--trailer", "no colon", "https://127.0.0.1:1/"], "name: value"),
        (&["-d", "@/no/such/file", "https://127.0.0.1:1/"], "/no/such/file"),
        (&["-o", "/no/such/folder/file", "https://127.0.0.1:1/"], "/no/such/folder/file"),
        (&["-D", "/no/such/folder/file", "https://127.0.0.1:1/"], "/no/such/folder/file"),
    ];
    for (args, word) in cases {
        let output = run(state.path(), &[&["get", "--insecure"], args].concat());
        let sentence = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(sentence.lines().count() == 1 && sentence.contains(word), "{args:?}: {sentence:?}");
    }
}
