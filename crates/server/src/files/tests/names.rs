//! Which names lead to a file, and that none leads out of the directory.

use std::fs;
use std::path::PathBuf;

use super::{get, send, site};

#[tokio::test]
async fn nothing_outside_can_be_named() {
    let (dir, files) = site(&[("file.txt", "inside"), ("sub/file.txt", "inside"), ("a\\b", "x")]);
    let absolute = dir.path().join("secret").display().to_string();
    let encoded = absolute.replace('/', "%2f");
    let paths = [
        "/../secret",
        "/../../../../../../../../etc/passwd",
        "/%2e%2e/secret",
        "/.%2e/secret",
        "/%2E%2E%2Fsecret",
        "/..%2fsecret",
        "/sub/../../secret",
        "/sub/../file.txt",
        "/sub/..%2f..%2fsecret",
        "/..%5csecret",
        "/..%5c..%5csecret",
        "/%252e%252e/secret",
        "/..%252fsecret",
        "/%c0%ae%c0%ae/secret",
        "/..;/secret",
        "/./../secret",
        "/sub%2ffile.txt",
        "/a%5cb",
        "/file.txt%00",
        "/file.txt%00.html",
        "/%00",
        "/.",
        "/..",
        "/c:/secret",
        &absolute,
        &format!("/{absolute}"),
        &format!("/{encoded}"),
    ];
    for show_hidden in [false, true] {
        let files = files.clone().hidden(show_hidden).listing(true);
        for path in paths {
            let seen = get(&files, path).await;
            assert_eq!((seen.status, seen.content.as_str()), (404, ""), "{path}");
        }
    }
    for path in ["/%", "/%zz", "/file.txt%1"] {
        assert_eq!(get(&files, path).await.status, 400, "{path}");
    }
    assert_eq!(get(&files, "//sub//file.txt").await.content, "inside", "empty names are nothing");
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_within_the_directory_only() {
    use std::os::unix::fs::symlink;

    let (dir, files) = site(&[("sub/file.txt", "inside"), ("sub/index.html", "index")]);
    let public = dir.path().join("public");
    let links: [(&str, PathBuf, u16); 8] = [
        ("to-file", "sub/file.txt".into(), 200),
        ("sub/up", "../sub/file.txt".into(), 200),
        ("to-secret", "../secret".into(), 404),
        ("to-parent", "..".into(), 404),
        ("to-absolute", dir.path().join("secret"), 404),
        ("to-absolute-inside", public.join("sub/file.txt"), 404),
        ("dangling", "nowhere".into(), 404),
        ("circle", "circle".into(), 404),
    ];
    for (link, target, status) in &links {
        symlink(target, public.join(link)).unwrap();
        assert_eq!(get(&files, &format!("/{link}")).await.status, *status, "{link}");
    }
    symlink("sub", public.join("to-dir")).unwrap();
    assert_eq!(get(&files, "/to-dir/file.txt").await.content, "inside");
    assert_eq!(get(&files, "/to-dir/").await.content, "index");
    for path in ["/to-parent/secret", "/to-parent/", "/to-parent/public/sub/file.txt", "/to-dir/../../secret"] {
        let files = files.clone().listing(true);
        assert_eq!(get(&files, path).await.status, 404, "{path}");
    }
    symlink("../secret", public.join("page.html.gz")).unwrap();
    fs::write(public.join("page.html"), "plain").unwrap();
    let seen = send(&files, "GET", "/page.html", &[("accept-encoding", "gzip")]).await;
    assert!(!seen.content.contains("secret"), "{seen:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_not_there() {
    let (dir, files) = site(&[("dir/index.html/file", "a directory called like a file")]);
    let public = dir.path().join("public");
    let _socket = std::os::unix::net::UnixListener::bind(public.join("socket")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(public.join("pipe")).status().unwrap().success());
    let too_long = "x".repeat(300);
    for path in ["/socket", "/pipe", "/dir/", "/dir/index.html/none", &format!("/{too_long}"), "/none"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(send(&files, method, path, &[]).await.status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn hidden_names_are_served_only_when_asked() {
    let names = [".env", ".git/config", "sub/.hidden", ".well-known/security.txt", "sub/.well-known/x"];
    let (_dir, files) = site(&names.map(|name| (name, "x")));
    for (name, status) in names.into_iter().zip([404, 404, 404, 200, 404]) {
        assert_eq!(get(&files, &format!("/{name}")).await.status, status, "{name}");
        let shown = files.clone().hidden(true);
        assert_eq!(get(&shown, &format!("/{name}")).await.status, 200, "{name}");
    }
    assert_eq!(get(&files, "/%2eenv").await.status, 404);
}
