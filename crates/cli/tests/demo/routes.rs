//! Every route of the demo.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::program::{Demo, Site, on_every_event_loop};

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn routes_answer_as_the_contract_says() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        demo.browse(async |site: Site| {
            root(&site).await;
            users(&site).await;
            files(&site).await;
            echo(&site).await;
            upload(&site).await;
            download(&site).await;
            early_hints(&site).await;
            headers(&site).await;
            slow(&site).await;
            panic(&site).await;
            refusals(&site).await;
        });
        assert_eq!(demo.stop(), "");
    });
}

async fn root(site: &Site) {
    let answer = site.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "Hello, HTTP/3!\n"));
    assert_eq!(answer.field("content-length"), Some("15"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.field("date").unwrap().ends_with(" GMT"));
    let head = site.ask(Method::HEAD, "/", &[], String::new()).await;
    assert_eq!((head.status.as_u16(), head.text(), head.field("content-length")), (200, "", Some("15")));
    assert_eq!(head.field("content-type"), answer.field("content-type"));
}

async fn users(site: &Site) {
    for (path, id) in
        [("/api/users/42", "42"), ("/api/users/J%C3%BCrgen%20%2F%22", "Jürgen /\""), ("/api/users/a+b", "a+b")]
    {
        let answer = site.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "id": id })), "{path}");
    }
    assert_eq!(site.get("/api/users/").await.status, 404);
    assert_eq!(site.get("/api/users/a/b").await.status, 404);
}

async fn files(site: &Site) {
    let whole = site.get("/files/ten.txt").await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "0123456789"));
    assert_eq!(whole.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!((whole.field("content-length"), whole.field("accept-ranges")), (Some("10"), Some("bytes")));
    let etag = whole.field("etag").unwrap();
    let modified = whole.field("last-modified").unwrap();

    let ask =
        async |fields: &[(&'static str, &str)]| site.ask(Method::GET, "/files/ten.txt", fields, String::new()).await;
    let part = ask(&[("range", "bytes=2-4")]).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let beyond = ask(&[("range", "bytes=10-")]).await;
    assert_eq!((beyond.status.as_u16(), beyond.field("content-range")), (416, Some("bytes */10")));
    for condition in [("if-none-match", etag), ("if-modified-since", modified)] {
        let unchanged = ask(&[condition]).await;
        assert_eq!((unchanged.status.as_u16(), unchanged.text()), (304, ""), "{condition:?}");
    }
    assert_eq!(ask(&[("if-match", "\"another\"")]).await.status, 412);
    let head = site.ask(Method::HEAD, "/files/ten.txt", &[], String::new()).await;
    assert_eq!((head.status.as_u16(), head.text(), head.field("content-length")), (200, "", Some("10")));

    for outside in ["/files/../secret", "/files/%2e%2e/secret", "/files/..%2fsecret", "/files/%2e%2e%2fsecret"] {
        let answer = site.get(outside).await;
        assert!(answer.status.is_client_error(), "{outside}: {}", answer.status);
        assert!(!answer.text().contains("outside"), "{outside}");
    }
    assert_eq!(site.get("/files/none").await.status, 404);
}

async fn echo(site: &Site) {
    let kind = [("content-type", "text/x-test")];
    let small = site.ask(Method::POST, "/echo", &kind, String::from("some text")).await;
    assert_eq!((small.status.as_u16(), small.text()), (200, "some text"));
    assert_eq!(small.field("content-type"), Some("text/x-test"));

    let empty = site.ask(Method::POST, "/echo", &[], String::new()).await;
    assert_eq!((empty.status.as_u16(), empty.text()), (200, ""));

    let large: Bytes = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    assert_eq!(large.len(), 1 << 20);
    let answer = site.ask(Method::POST, "/echo", &[], Full::new(large.clone())).await;
    assert!(answer.status == 200 && answer.body == large, "{} bytes came back", answer.body.len());

    for text in ["", "text before"] {
        let trailers = HeaderMap::from_iter([("x-check".parse().unwrap(), HeaderValue::from_static("42"))]);
        let after = std::future::ready(Some(Ok(trailers.clone())));
        let body = Full::new(Bytes::from_static(text.as_bytes())).with_trailers(after);
        let answer = site.ask(Method::POST, "/echo", &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.text(), &answer.trailers), (200, text, &Some(trailers)));
    }
}

async fn upload(site: &Site) {
    for len in [0, 1, 5000, 300_000] {
        let body: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
        let expected = json!({ "bytes": len, "sha256": hex_sha256(&body) });
        let answer = site.ask(Method::POST, "/upload", &[], Full::new(Bytes::from(body))).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
    }
}

async fn download(site: &Site) {
    for len in [0, 1, 7, 65_536, 300_001] {
        let answer = site.get(&format!("/download/{len}")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, len));
        assert_eq!(answer.field("content-length"), Some(len.to_string().as_str()));
        assert_eq!(answer.trailers.unwrap()["x-sha256"], hex_sha256(&answer.body).as_str(), "{len}");
    }
    let (short, long) = (site.get("/download/1000").await, site.get("/download/2000").await);
    assert_eq!(short.body, long.body[..1000], "the bytes are the same each time");
    for bad in ["", "-1", "x", "1.5", "99999999999999999999999"] {
        let answer = site.get(&format!("/download/{bad}")).await;
        let expected = if bad.is_empty() { 404 } else { 400 };
        assert_eq!(answer.status, expected, "{bad:?}");
    }
}

async fn early_hints(site: &Site) {
    let answer = site.get("/early-hints").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "hinted\n"));
    let [(status, fields)] = &answer.interim[..] else { panic!("{:?}", answer.interim) };
    assert_eq!((*status, fields["link"].to_str().unwrap()), (103, "</style.css>; rel=preload; as=style"));
}

async fn headers(site: &Site) {
    let fields = [("x-one", "1"), ("x-two", "a"), ("x-two", "b"), ("cookie", "c=d")];
    let answer = site.ask(Method::GET, "/headers", &fields, String::new()).await.json();
    assert_eq!((&answer["x-one"], &answer["x-two"]), (&json!("1"), &json!(["a", "b"])));
    assert_eq!(answer["cookie"], json!("c=d"));
}

async fn slow(site: &Site) {
    let (since, is_answered) = (Instant::now(), Cell::new(false));
    let slow = async {
        assert_eq!(site.get("/slow/3000").await.text(), "waited 3000 ms\n");
        is_answered.set(true);
    };
    let quick = async {
        assert_eq!(site.get("/slow/0").await.text(), "waited 0 ms\n");
        assert!(!is_answered.get(), "the quick answer waited for the slow one");
    };
    join(slow, quick).await;
    assert!(since.elapsed() >= Duration::from_secs(3));
    assert_eq!(site.get("/slow/soon").await.status, 400);
}

async fn panic(site: &Site) {
    let (other, answer) = join(site.get("/slow/100"), site.get("/panic")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (500, ""));
    assert_eq!((other.status.as_u16(), other.text()), (200, "waited 100 ms\n"));
    assert_eq!(site.get("/").await.status, 200);
}

async fn refusals(site: &Site) {
    assert_eq!(site.get("/nowhere").await.status, 404);
    let answer = site.ask(Method::DELETE, "/echo", &[], String::new()).await;
    assert_eq!((answer.status.as_u16(), answer.field("allow")), (405, Some("POST, OPTIONS")));
    let answer = site.ask(Method::POST, "/", &[], String::from("unwanted")).await;
    assert_eq!((answer.status.as_u16(), answer.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn hundred_streams_at_once_are_all_answered() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        demo.browse(async |site: Site| {
            let paths: Vec<String> = (0..100).map(|id| format!("/api/users/{id}")).collect();
            let answers = join_all(paths.iter().map(|path| site.get(path))).await;
            for (id, answer) in answers.iter().enumerate() {
                assert_eq!(answer.json(), json!({ "id": id.to_string() }));
            }
            // More than the server allows at once: the rest waits its turn.
            let bodies = (0..300).map(|id| site.ask(Method::POST, "/echo", &[], format!("body {id}")));
            for (id, answer) in join_all(bodies).await.iter().enumerate() {
                assert_eq!(answer.text(), format!("body {id}"));
            }
        });
    });
}
