//! What HTTP says of a file: type, validators, conditions, ranges, variants, methods.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{get, send, site};

fn set_modified(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[tokio::test]
async fn file_comes_with_type_length_and_validators() {
    let (dir, files) = site(&[("hello.txt", "0123456789"), ("noextension", "x"), ("empty.css", "")]);
    set_modified(&dir.path().join("public/hello.txt"), 3661);
    let seen = get(&files, "/hello.txt").await;
    assert_eq!((seen.status, seen.content.as_str()), (200, "0123456789"));
    assert_eq!(seen.field("content-type"), "text/plain; charset=utf-8");
    assert_eq!(seen.field("content-length"), "10");
    assert_eq!(seen.field("last-modified"), "Thu, 01 Jan 1970 01:01:01 GMT");
    assert_eq!(seen.field("accept-ranges"), "bytes");
    assert_eq!(seen.field("vary"), "accept-encoding");
    assert!(seen.field("etag").starts_with('"'), "the tag is a strong one");

    let seen = get(&files, "/noextension").await;
    assert_eq!((seen.field("content-type"), seen.content.as_str()), ("application/octet-stream", "x"));
    let seen = get(&files, "/empty.css").await;
    assert_eq!((seen.status, seen.field("content-length"), seen.content.as_str()), (200, "0", ""));
}

#[tokio::test]
async fn types_follow_the_file_name() {
    let cases = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "application/javascript"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.mp4", "video/mp4"),
        ("a.tar.gz", "application/gzip"),
        ("a.unknown", "application/octet-stream"),
    ];
    let (_dir, files) = site(&cases.map(|(name, _)| (name, "x")));
    for (name, content_type) in cases {
        assert_eq!(get(&files, &format!("/{name}")).await.field("content-type"), content_type, "{name}");
    }
}

#[tokio::test]
async fn conditions_are_obeyed() {
    let (dir, files) = site(&[("a.txt", "content")]);
    set_modified(&dir.path().join("public/a.txt"), 3600);
    let current = get(&files, "/a.txt").await;
    let (etag, modified) = (current.field("etag"), current.field("last-modified"));
    let weak = format!("W/{etag}");
    let list = format!("\"other\", {etag}");
    let (older, newer) = ("Thu, 01 Jan 1970 00:59:59 GMT", "Thu, 01 Jan 1970 01:00:01 GMT");
    let cases: Vec<(Vec<(&str, &str)>, u16)> = vec![
        (vec![("if-none-match", etag)], 304),
        (vec![("if-none-match", &weak)], 304),
        (vec![("if-none-match", &list)], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-none-match", "\"other\"")], 200),
        (vec![("if-modified-since", modified)], 304),
        (vec![("if-modified-since", newer)], 304),
        (vec![("if-modified-since", older)], 200),
        (vec![("if-modified-since", "yesterday")], 200),
        // RFC 9110 §13.1.3: the tag decides where both are given.
        (vec![("if-none-match", "\"other\""), ("if-modified-since", newer)], 200),
        (vec![("if-none-match", etag), ("if-modified-since", older)], 304),
        (vec![("if-match", etag)], 200),
        (vec![("if-match", "*")], 200),
        (vec![("if-match", "\"other\"")], 412),
        (vec![("if-match", &weak)], 412),
        (vec![("if-unmodified-since", older)], 412),
        (vec![("if-unmodified-since", modified)], 200),
    ];
    for (fields, status) in cases {
        for method in ["GET", "HEAD"] {
            let seen = send(&files, method, "/a.txt", &fields).await;
            assert_eq!(seen.status, status, "{method} {fields:?}");
            assert_eq!(seen.content.is_empty(), status != 200 || method == "HEAD", "{method} {fields:?}");
            if status == 304 {
                assert_eq!((seen.field("etag"), seen.field("vary")), (etag, "accept-encoding"), "{fields:?}");
            }
        }
    }
}

#[tokio::test]
async fn changed_file_has_another_tag() {
    let (dir, files) = site(&[("a.txt", "before")]);
    let before = get(&files, "/a.txt").await;
    fs::write(dir.path().join("public/a.txt"), "afterwards").unwrap();
    let seen = send(&files, "GET", "/a.txt", &[("if-none-match", before.field("etag"))]).await;
    assert_eq!((seen.status, seen.content.as_str()), (200, "afterwards"));
}

#[tokio::test]
async fn ranges_are_cut_out_of_the_file() {
    let (_dir, files) = site(&[("ten", "0123456789"), ("none", "")]);
    let cases = [
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=-99999999999999999999999999", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
        ("bytes=0-", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=99-100", 416, "", "bytes */10"),
        ("bytes=-0", 416, "", "bytes */10"),
        ("bytes=-+1", 416, "", "bytes */10"),
        ("bytes=4-2", 416, "", "bytes */10"),
        ("bytes=x-y", 416, "", "bytes */10"),
        ("bytes=", 416, "", "bytes */10"),
        ("bytes=0-1,4-5", 200, "0123456789", "-"),
        ("bytes=0-9,0-9,0-9,0-9", 200, "0123456789", "-"),
        ("bytes=99-,98-", 200, "0123456789", "-"),
        ("lines=0-1", 200, "0123456789", "-"),
        ("nonsense", 200, "0123456789", "-"),
    ];
    for (range, status, content, content_range) in cases {
        let seen = send(&files, "GET", "/ten", &[("range", range)]).await;
        assert_eq!((seen.status, seen.content.as_str()), (status, content), "{range}");
        assert_eq!(seen.field("content-range"), content_range, "{range}");
        if status != 416 {
            assert_eq!(seen.field("content-length"), content.len().to_string(), "{range}");
        }
        // RFC 9110 §14.2: Range means nothing with HEAD.
        let head = send(&files, "HEAD", "/ten", &[("range", range)]).await;
        assert_eq!(
            (head.status, head.field("content-length"), head.field("content-range")),
            (200, "10", "-"),
            "{range}"
        );
    }
    for range in ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=7-"] {
        let seen = send(&files, "GET", "/none", &[("range", range)]).await;
        assert_eq!(
            (seen.status, seen.field("content-length"), seen.field("content-range")),
            (200, "0", "-"),
            "{range}"
        );
    }
}

#[tokio::test]
async fn range_of_another_version_brings_the_whole_file() {
    let (dir, files) = site(&[("ten", "0123456789")]);
    set_modified(&dir.path().join("public/ten"), 3600);
    let current = get(&files, "/ten").await;
    let (etag, modified) = (current.field("etag"), current.field("last-modified"));
    let weak = format!("W/{etag}");
    let cases = [
        (etag, "bytes=2-4", 206, "234"),
        (modified, "bytes=2-4", 206, "234"),
        ("\"other\"", "bytes=2-4", 200, "0123456789"),
        (weak.as_str(), "bytes=2-4", 200, "0123456789"),
        ("Thu, 01 Jan 1970 00:59:59 GMT", "bytes=2-4", 200, "0123456789"),
        ("Thu, 01 Jan 1970 01:00:01 GMT", "bytes=2-4", 200, "0123456789"),
        ("\"other\"", "bytes=99-", 200, "0123456789"),
        (etag, "bytes=99-", 416, ""),
        (etag, "bytes=-99", 206, "0123456789"),
        ("\"other\"", "bytes=-99", 200, "0123456789"),
    ];
    for (condition, range, status, content) in cases {
        let seen = send(&files, "GET", "/ten", &[("range", range), ("if-range", condition)]).await;
        assert_eq!((seen.status, seen.content.as_str()), (status, content), "{condition} {range}");
    }
    let seen = send(&files, "GET", "/ten", &[("if-range", "\"other\"")]).await;
    assert_eq!(seen.status, 200, "without Range it means nothing");
}

#[tokio::test]
async fn head_is_get_without_content() {
    let (_dir, files) = site(&[("a.txt", "content"), ("a.txt.gz", "gz"), ("dir/index.html", "<p>")]);
    for path in ["/a.txt", "/dir/", "/dir", "/missing"] {
        let fields = [("accept-encoding", "gzip")];
        let (get, head) = (send(&files, "GET", path, &fields).await, send(&files, "HEAD", path, &fields).await);
        assert_eq!((get.status, &get.headers), (head.status, &head.headers), "{path}");
        assert_eq!(head.content, "", "{path}");
    }
}

#[tokio::test]
async fn precompressed_variant_is_chosen_by_the_client() {
    let variants = [
        ("a.js", "plain"),
        ("a.js.br", "BR"),
        ("a.js.gz", "GZ"),
        ("a.js.zst", "ZST"),
        ("b.js", "plain"),
        ("b.js.gz", "GZ"),
    ];
    let (_dir, files) = site(&variants);
    let cases = [
        ("/a.js", "gzip", "gzip", "GZ"),
        ("/a.js", "br", "br", "BR"),
        ("/a.js", "zstd", "zstd", "ZST"),
        ("/a.js", "gzip, br", "br", "BR"),
        ("/a.js", "br;q=0.5, gzip;q=0.9", "gzip", "GZ"),
        ("/a.js", "br;q=0, gzip", "gzip", "GZ"),
        ("/a.js", "gzip;q=0", "-", "plain"),
        ("/a.js", "gzip;q=0.000, br;q=0", "-", "plain"),
        ("/a.js", "identity", "-", "plain"),
        ("/a.js", "identity, gzip;q=0.1", "-", "plain"),
        ("/a.js", "compress, nonsense;;q=x", "-", "plain"),
        ("/a.js", "", "-", "plain"),
        ("/b.js", "gzip, br, zstd", "gzip", "GZ"),
        ("/b.js", "br, zstd", "-", "plain"),
    ];
    for (path, accepted, encoding, content) in cases {
        let seen = send(&files, "GET", path, &[("accept-encoding", accepted)]).await;
        assert_eq!((seen.field("content-encoding"), seen.content.as_str()), (encoding, content), "{path} {accepted}");
        assert_eq!(seen.field("content-type"), "text/javascript; charset=utf-8", "{path} {accepted}");
        assert_eq!(seen.field("content-length"), content.len().to_string(), "{path} {accepted}");
        assert_eq!(seen.field("vary"), "accept-encoding", "{path} {accepted}");
    }
    let plain = get(&files, "/a.js").await;
    let packed = send(&files, "GET", "/a.js", &[("accept-encoding", "gzip")]).await;
    assert_ne!(plain.field("etag"), packed.field("etag"), "variants are told apart");
    let packed = get(&files, "/a.js.gz").await;
    assert_eq!((packed.field("content-encoding"), packed.field("content-type")), ("-", "application/gzip"));
}

#[tokio::test]
async fn other_methods_are_405() {
    let (_dir, files) = site(&[("a.txt", "x")]);
    for (method, status) in [("POST", 405), ("PUT", 405), ("DELETE", 405), ("TRACE", 405), ("OPTIONS", 204)] {
        let seen = send(&files, method, "/a.txt", &[]).await;
        assert_eq!((seen.status, seen.field("allow")), (status, "GET, HEAD, OPTIONS"), "{method}");
        assert_eq!(seen.content, "", "{method}");
    }
}
