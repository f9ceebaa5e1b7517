//! Index pages, redirects, listings, and where a directory is mounted.

use std::fs;

use tower_service::Service as _;

use super::{get, see, send, site};
use crate::{Files, RequestBody, Router};

#[tokio::test]
async fn directory_is_its_index_page() {
    let (_dir, files) =
        site(&[("index.html", "top"), ("sub/index.html", "sub"), ("bare/file", "x"), ("a:b/index.html", "odd")]);
    for (path, status, content) in
        [("/", 200, "top"), ("/sub/", 200, "sub"), ("/sub/?q", 200, "sub"), ("/bare/", 404, "")]
    {
        let seen = get(&files, path).await;
        assert_eq!((seen.status, seen.content.as_str()), (status, content), "{path}");
    }
    assert_eq!(get(&files, "/").await.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(get(&files, "/bare/file/").await.status, 404, "a file is no directory");
    assert_eq!(get(&files, "/bare/file/x").await.status, 404);
}

#[tokio::test]
async fn directory_without_slash_is_redirected_to_itself() {
    let names = ["sub/index.html", "a:b/index.html", "x y/index.html", "evil.example/index.html"];
    let (_dir, files) = site(&names.map(|name| (name, "x")));
    let cases = [
        ("/sub", "./sub/"),
        ("/sub?a=b&c", "./sub/?a=b&c"),
        ("/a:b", "./a:b/"),
        ("/x%20y", "./x%20y/"),
        ("//evil.example", "./evil.example/"),
        ("https://example.org/sub", "./sub/"),
    ];
    for (path, location) in cases {
        let seen = get(&files, path).await;
        assert_eq!((seen.status, seen.field("location")), (307, location), "{path}");
    }
}

#[tokio::test]
async fn nested_directory_works_at_any_place() {
    let (_dir, files) = site(&[("index.html", "top"), ("sub/index.html", "sub"), ("a b.txt", "text")]);
    let routes = Router::new().nest("/deep/files", files.clone()).nest("/t/:tenant", files).build().unwrap();
    let cases = [
        ("/deep/files/", 200, "top", "-"),
        ("/deep/files", 307, "", "./files/"),
        ("/deep/files?q", 307, "", "./files/?q"),
        ("/deep/files/sub", 307, "", "./sub/"),
        ("/deep/files/sub/", 200, "sub", "-"),
        ("/deep/files/a%20b.txt", 200, "text", "-"),
        ("/deep/files/../files/a%20b.txt", 404, "", "-"),
        ("/deep/files/%2e%2e/files/", 404, "", "-"),
        ("/t/x%2Fy", 307, "", "./x%2Fy/"),
        ("/t/x%2Fy/", 200, "top", "-"),
    ];
    for (path, status, content, location) in cases {
        let request = http::Request::get(path).body(RequestBody::empty()).unwrap();
        let seen = see(routes.clone().call(request).await.unwrap()).await;
        assert_eq!((seen.status, seen.content.as_str(), seen.field("location")), (status, content, location), "{path}");
    }
}

#[tokio::test]
async fn listing_is_shown_only_when_asked_and_only_without_an_index() {
    let (_dir, files) = site(&[("sub/b.txt", "12345"), ("sub/inner/x", "x"), ("indexed/index.html", "index")]);
    assert_eq!(get(&files, "/sub/").await.status, 404);
    let files = files.listing(true);
    let seen = get(&files, "/sub/").await;
    assert_eq!((seen.status, seen.field("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(seen.field("content-length"), seen.content.len().to_string());
    let (inner, file) =
        (seen.content.find("href=\"./inner/\"").unwrap(), seen.content.find("href=\"./b.txt\"").unwrap());
    assert!(inner < file, "directories come first");
    assert!(seen.content.contains("<td>5</td>") && seen.content.contains("href=\"../\""), "{}", seen.content);
    assert_eq!(send(&files, "HEAD", "/sub/", &[]).await.field("content-length"), seen.content.len().to_string());

    assert!(!get(&files, "/").await.content.contains("href=\"../\""), "there is nothing above the directory");
    assert_eq!(get(&files, "/indexed/").await.content, "index");
    assert_eq!(get(&files, "/sub").await.status, 307);
    for path in ["/none/", "/sub/b.txt/", "/../", "/%2e%2e/"] {
        assert_eq!(get(&files, path).await.status, 404, "{path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn listing_escapes_names_and_leaves_out_what_is_not_served() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let names = ["<script>alert(1)</script>", "a&b\"c'd", "javascript:alert(1)", "50%.txt", "é", ".hidden", "#?"];
    let entries: Vec<_> = names.iter().map(|name| name.replace('/', "\u{2215}")).collect();
    let entries: Vec<_> = entries.iter().map(|name| (name.as_str(), "content")).collect();
    let (dir, files) = site(&entries);
    let public = dir.path().join("public");
    fs::write(public.join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    std::os::unix::fs::symlink("../secret", public.join("outside")).unwrap();
    let files = files.listing(true);

    let page = get(&files, "/").await.content;
    for forbidden in ["<script", "href=\"javascript", "b\"c", "c'd", ".hidden", "outside", "\u{fffd}"] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    assert!(page.contains("&lt;script&gt;") && page.contains("a&amp;b&quot;c&#39;d"), "{page}");
    let links: Vec<_> = page.split("href=\"./").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), names.len() - 1);
    for link in links {
        assert_eq!(get(&files, &format!("/{link}")).await.content, "content", "{link}");
    }
    assert!(get(&files.hidden(true), "/").await.content.contains(".hidden"));
}

#[cfg(unix)]
#[tokio::test]
async fn directory_may_be_switched_and_may_vanish() {
    let (dir, _) = site(&[("a.txt", "old")]);
    let (public, link) = (dir.path().join("public"), dir.path().join("current"));
    std::os::unix::fs::symlink("public", &link).unwrap();
    let files = Files::new(&link).unwrap();
    assert_eq!(get(&files, "/a.txt").await.content, "old");

    fs::create_dir(dir.path().join("next")).unwrap();
    fs::write(dir.path().join("next/a.txt"), "new").unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("next", &link).unwrap();
    assert_eq!(get(&files, "/a.txt").await.content, "new");

    fs::remove_dir_all(dir.path().join("next")).unwrap();
    assert_eq!(get(&files, "/a.txt").await.status, 404);
    assert!(public.exists());
}

#[test]
fn missing_directory_is_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = Files::new(&missing).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot serve {}: ", missing.display())), "{error}");
    fs::write(&missing, "a file").unwrap();
    assert!(Files::new(&missing).is_err());
}
