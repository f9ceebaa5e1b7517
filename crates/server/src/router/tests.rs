use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;
use http_body_util::BodyExt;

use super::*;
use crate::body::{Body, RequestBody};
use crate::request::RequestExt;

fn request(method: &str, path: &str) -> Request {
    http::Request::builder().method(method).uri(path).body(RequestBody::empty()).unwrap()
}

async fn call(routes: &RouterService, request: Request) -> Response {
    routes.clone().call(request).await.unwrap()
}

/// Status and text of the answer.
async fn ask(routes: &RouterService, method: &str, path: &str) -> (u16, String) {
    let response = call(routes, request(method, path)).await;
    let status = response.status().as_u16();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(content.to_vec()).unwrap())
}

/// A handler that answers with its name and its parameters.
fn named(name: &'static str) -> impl Fn(Request) -> std::future::Ready<String> + Send + Sync {
    move |request| {
        let params = request.info().map(|info| info.params().clone()).unwrap_or_default();
        let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        std::future::ready(format!("{name}[{}]", params.join(",")))
    }
}

/// A service that answers with the URI it sees and its parameters.
#[derive(Clone)]
struct Echo;

impl Service<Request> for Echo {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let name = format!("{} {}", request.method(), request.uri());
        let info = request.info().cloned().unwrap_or_default();
        let mounted_as = info.mounted_as.map(|name| format!("@{name}")).unwrap_or_default();
        let params: Vec<_> = info.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        std::future::ready(Ok(format!("{name}{mounted_as}[{}]", params.join(",")).into_response()))
    }
}

#[tokio::test]
async fn paths_find_their_handler_and_parameters() {
    let routes = Router::new()
        .get("/*", named("rest"))
        .get("/", named("root"))
        .get("/users/:id", named("user"))
        .get("/users/me", named("me"))
        .get("/users/:id/posts/:post", named("post"))
        .get("/files/*", named("files"))
        .get("/files/index", named("index"))
        .get("/café/:x", named("café"))
        .get("/slash/", named("slash"))
        .build()
        .unwrap();
    let cases = [
        ("/", "root[]"),
        ("/users/7", "user[id=7]"),
        ("/users/me", "me[]"),
        ("/users/%6de", "me[]"),
        ("/users/mex", "user[id=mex]"),
        ("/users/7/posts/a-b", "post[id=7,post=a-b]"),
        ("/users/7/posts", "rest[*=users/7/posts]"),
        ("/users/", "rest[*=users/]"),
        ("/users//posts/1", "rest[*=users//posts/1]"),
        ("/users/a%2Fb", "user[id=a/b]"),
        ("/users/a%2fb/posts/%25", "post[id=a/b,post=%]"),
        ("/users/%c3%a9", "user[id=é]"),
        ("/users/a+b%20c", "user[id=a+b c]"),
        ("/files/", "files[*=]"),
        ("/files", "rest[*=files]"),
        ("/files/a/b%2Fc", "files[*=a/b/c]"),
        ("/files/index", "index[]"),
        ("/files//", "files[*=/]"),
        ("/caf%c3%a9/1", "café[x=1]"),
        ("/slash/", "slash[]"),
        ("/slash", "rest[*=slash]"),
        ("/a/../b", "rest[*=a/../b]"),
        ("/users/7?id=8", "user[id=7]"),
    ];
    for (path, expected) in cases {
        assert_eq!(ask(&routes, "GET", path).await, (200, expected.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn broken_escapes_and_parameters_that_are_not_utf8_are_400() {
    let routes = Router::new().get("/users/:id", named("user")).get("/files/*", named("files")).build().unwrap();
    for path in ["/users/%", "/users/%4", "/users/%zz", "/users/%ff", "/files/a/%c3", "/nowhere/%"] {
        assert_eq!(ask(&routes, "GET", path).await, (400, String::new()), "{path}");
    }
}

#[tokio::test]
async fn methods_find_their_handler() {
    let routes = Router::new()
        .get("/all", named("get"))
        .post("/all", named("post"))
        .put("/all", named("put"))
        .delete("/all", named("delete"))
        .patch("/all", named("patch"))
        .options("/all", named("options"))
        .route(Method::from_bytes(b"PURGE").unwrap(), "/all", named("purge"))
        .any("/any", named("any"))
        .post("/any", named("post"))
        .build()
        .unwrap();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
        assert_eq!(ask(&routes, method, "/all").await, (200, format!("{}[]", method.to_lowercase())));
    }
    for (method, expected) in [("GET", "any[]"), ("POST", "post[]"), ("OPTIONS", "any[]"), ("TRACE", "any[]")] {
        assert_eq!(ask(&routes, method, "/any").await, (200, expected.to_owned()), "{method}");
    }
}

#[tokio::test]
async fn wrong_method_is_405_with_allow() {
    let routes = Router::new()
        .get("/read", named(""))
        .post("/write", named(""))
        .get("/both", named(""))
        .head("/both", named(""))
        .put("/both", named(""))
        .options("/both", named(""))
        .build()
        .unwrap();
    let cases = [
        ("DELETE", "/read", 405, "GET, HEAD, OPTIONS"),
        ("get", "/read", 405, "GET, HEAD, OPTIONS"),
        ("HEAD", "/write", 405, "POST, OPTIONS"),
        ("DELETE", "/both", 405, "GET, HEAD, PUT, OPTIONS"),
        ("OPTIONS", "/read", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "*", 204, "GET, HEAD, POST, PUT, OPTIONS"),
    ];
    for (method, path, status, allow) in cases {
        let response = call(&routes, request(method, path)).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
    }
    assert_eq!(ask(&routes, "GET", "*").await.0, 404);
}

#[tokio::test]
async fn head_is_get_without_content() {
    let routes = Router::new()
        .get("/text", |_| async { "twelve bytes" })
        .get("/declared", |_| async { Response::builder().header("content-length", "99").body(Body::empty()).unwrap() })
        .get("/streamed", |_| async {
            Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("piece")]))
        })
        .get("/own", |_| async { "unseen" })
        .head("/own", |_| async { (StatusCode::ACCEPTED, ()) })
        .build()
        .unwrap();
    let cases =
        [("/text", 200, Some("12")), ("/declared", 200, Some("99")), ("/streamed", 200, None), ("/own", 202, None)];
    for (path, status, length) in cases {
        let response = call(&routes, request("HEAD", path)).await;
        assert_eq!(response.status(), status, "{path}");
        let sent = response.headers().get("content-length").map(|value| value.to_str().unwrap());
        assert_eq!(sent, length, "{path}");
        assert!(http_body::Body::is_end_stream(response.body()), "{path}");
    }
}

#[tokio::test]
async fn unknown_path_goes_to_the_fallback_or_is_404() {
    let bare = Router::new().get("/known", named("")).build().unwrap();
    assert_eq!(ask(&bare, "GET", "/unknown").await, (404, String::new()));
    assert_eq!(ask(&Router::new().build().unwrap(), "GET", "/").await, (404, String::new()));

    let routes =
        Router::new().post("/known", named("")).fallback(|_| async { (StatusCode::GONE, "gone") }).build().unwrap();
    assert_eq!(ask(&routes, "GET", "/unknown").await, (410, "gone".to_owned()));
    assert_eq!(ask(&routes, "GET", "/known").await.0, 405, "the path is known, the method is not");
}

#[tokio::test]
async fn connect_is_501() {
    let routes = Router::new().any("/*", named("")).fallback(named("")).build().unwrap();
    for target in ["example.org:443", "/chat", "https://example.org/chat"] {
        assert_eq!(ask(&routes, "CONNECT", target).await, (501, String::new()), "{target}");
    }
}

#[tokio::test]
async fn nested_service_sees_the_rest_of_the_path() {
    let routes = Router::new()
        .nest("/app", Echo)
        .get("/app/health", named("health"))
        .nest("/tenants/:tenant/", Echo)
        .get("/get/*", named("get"))
        .route_service("/whole/*", Echo)
        .build()
        .unwrap();
    let cases = [
        ("GET", "/app/a/b?c=d", "GET /a/b?c=d[]"),
        ("PUT", "/app/", "PUT /[]"),
        ("GET", "/app", "GET /@app[]"),
        ("GET", "/app?q", "GET /?q@app[]"),
        ("GET", "/app/%61%2f%C3%a9", "GET /a%2F%C3%A9[]"),
        ("GET", "/app//x", "GET //x[]"),
        ("GET", "/app/health", "health[]"),
        ("POST", "/tenants/a%2Fb/c", "POST /c[tenant=a/b]"),
        ("GET", "/tenants/t", "GET /@t[tenant=t]"),
        ("OPTIONS", "/app/x", "OPTIONS /x[]"),
        ("GET", "/whole/a?b", "GET /whole/a?b[*=a]"),
        ("GET", "https://example.org/app/x", "GET https://example.org/x[]"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(ask(&routes, method, path).await, (200, expected.to_owned()), "{method} {path}");
    }
    assert_eq!(ask(&routes, "GET", "/application").await.0, 404, "a prefix is whole segments");
    assert_eq!(ask(&routes, "POST", "/app/health").await.0, 405, "the more particular path hides the prefix");
}

#[tokio::test]
async fn nested_routers_add_up_their_parameters() {
    let inner = Router::new().get("/", named("inner")).get("/posts/:id", named("post")).nest("/", Echo);
    let routes = Router::new().nest("/users/:id", inner.build().unwrap()).build().unwrap();
    let cases = [
        ("/users/1", "inner[id=1]"),
        ("/users/1/", "inner[id=1]"),
        ("/users/1/posts/2", "post[id=1,id=2]"),
        ("/users/1/other", "GET /other[id=1]"),
    ];
    for (path, expected) in cases {
        assert_eq!(ask(&routes, "GET", path).await, (200, expected.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn what_is_declared_wins_over_what_a_wildcard_implies() {
    let routes = Router::new()
        .get("/files/*", named("below"))
        .any("/files/", named("exact"))
        .nest("/app", Echo)
        .post("/app", named("exact"))
        .any("/only/*", named("below"))
        .get("/only/", named("exact"))
        .build()
        .unwrap();
    let cases = [
        ("GET", "/files/", "exact[]"),
        ("GET", "/files/x", "below[*=x]"),
        ("POST", "/app", "exact[]"),
        ("GET", "/app", "GET /@app[]"),
        ("GET", "/only/", "exact[]"),
        ("POST", "/only/", "below[*=]"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(ask(&routes, method, path).await, (200, expected.to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn routes_may_name_the_same_parameter_differently() {
    let routes = Router::new()
        .get("/users/:id", named("get"))
        .put("/users/:name", named("put"))
        .get("/users/:user/posts", named("posts"))
        .build()
        .unwrap();
    assert_eq!(ask(&routes, "GET", "/users/1").await.1, "get[id=1]");
    assert_eq!(ask(&routes, "PUT", "/users/1").await.1, "put[name=1]");
    assert_eq!(ask(&routes, "GET", "/users/1/posts").await.1, "posts[user=1]");
}

#[test]
fn mistakes_are_told_all_at_once_and_name_the_routes() {
    let error = Router::new()
        .get("/ok", named(""))
        .get("/a", named(""))
        .get("/a", named(""))
        .any("/b", named(""))
        .route_service("/b", Echo)
        .get("/c/:x", named(""))
        .post("/c/*", named(""))
        .get("/d/:", named(""))
        .get("/e/*/*", named(""))
        .get("f", named(""))
        .nest("/g/*", Echo)
        .nest("/h", Echo)
        .nest("/h/", Echo)
        .route(Method::CONNECT, "/i", named(""))
        .get("/%6a", named(""))
        .get("/j", named(""))
        .get("/k/:a/x", named(""))
        .get("/k/:b/x", named(""))
        .build()
        .unwrap_err();
    let mut sentences: Vec<_> = error.mistakes().iter().map(ToString::to_string).collect();
    sentences.sort();
    let expected = [
        "CONNECT /i can never be asked for: CONNECT has no path",
        "GET /a takes the same requests as GET /a, declared before it",
        "GET /d/: has a parameter without a name: write :name",
        "GET /e/*/* has a misplaced *: it takes the rest of a path, so it stands alone, once, as the last segment",
        "GET /j takes the same requests as GET /%6a, declared before it",
        "GET /k/:b/x takes the same requests as GET /k/:a/x, declared before it",
        "GET f does not begin with a slash",
        "POST /c/* overlaps with GET /c/:x, and neither is more particular: change one of the paths",
        "any /b takes the same requests as any /b, declared before it",
        "nest /g/* has a misplaced *: it takes the rest of a path, so it stands alone, once, as the last segment",
        "nest /h/ takes the same requests as nest /h, declared before it",
    ];
    assert_eq!(sentences, expected);
    assert_eq!(error.to_string().matches("; ").count(), expected.len() - 1);
}

#[test]
fn conflict_names_the_route_even_where_the_paths_go_on() {
    let error = Router::new().get("/a/:x/deep/er", named("")).get("/a/*", named("")).build().unwrap_err();
    let expected = "GET /a/* overlaps with GET /a/:x/deep/er, and neither is more particular: change one of the paths";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn handler_future_may_be_local_and_the_body_reaches_it() {
    let routes = Router::new()
        .post("/", |request| async move {
            let count = Rc::new(Cell::new(0));
            let text = request.into_body().text(100).await?;
            tokio::task::yield_now().await;
            count.set(count.get() + text.len());
            Ok::<_, crate::BodyError>(count.get().to_string())
        })
        .build()
        .unwrap();
    let send = |body: &'static str| http::Request::post("/").body(RequestBody::from(body)).unwrap();
    assert_eq!(call(&routes, send("12345")).await.into_body().collect().await.unwrap().to_bytes(), "5");
    assert_eq!(call(&routes, send(Box::leak("x".repeat(101).into_boxed_str()))).await.status(), 413);
}

#[derive(Clone)]
struct Failing {
    when_ready: bool,
}

#[derive(Debug)]
struct Refusal;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no")
    }
}

impl Service<Request> for Failing {
    type Response = Response;
    type Error = Refusal;
    type Future = std::future::Ready<Result<Response, Refusal>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(if self.when_ready { Err(Refusal) } else { Ok(()) })
    }

    fn call(&mut self, _request: Request) -> Self::Future {
        assert!(!self.when_ready, "a service that is not ready was called");
        std::future::ready(Err(Refusal))
    }
}

#[tokio::test]
async fn service_errors_become_500() {
    for when_ready in [false, true] {
        let routes = Router::new().route_service("/", Failing { when_ready }).build().unwrap();
        assert_eq!(ask(&routes, "GET", "/").await, (500, String::new()));
    }
}

#[tokio::test]
async fn routes_are_shared_between_threads() {
    let routes = Router::new().get("/users/:id", named("user")).build().unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let routes = routes.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async { ask(&routes, "GET", &format!("/users/{worker}")).await })
            })
        })
        .collect();
    for (worker, thread) in workers.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), (200, format!("user[id={worker}]")));
    }
}

fn many(count: usize) -> RouterService {
    (0..count)
        .fold(Router::new(), |routes, n| routes.get(format!("/section{}/page{n}/:id", n % 100), named("page")))
        .build()
        .unwrap()
}

/// The quickest of several rounds of looking up the same hundred paths.
fn look_up_time(routes: &RouterService, count: usize) -> Duration {
    let step = count / 100;
    let paths: Vec<_> = (0..100).map(|n| n * step).map(|n| format!("/section{}/page{n}/7", n % 100)).collect();
    let round = || {
        let start = Instant::now();
        for path in &paths {
            drop(routes.clone().call(request("GET", path)));
        }
        start.elapsed()
    };
    (0..50).map(|_| round()).min().unwrap()
}

#[tokio::test]
async fn ten_thousand_routes_are_looked_up_as_fast_as_a_hundred() {
    let (few, lots) = (many(100), many(10_000));
    for n in [0, 1, 99, 100, 4_321, 9_999] {
        let path = format!("/section{}/page{n}/{n}", n % 100);
        assert_eq!(ask(&lots, "GET", &path).await, (200, format!("page[id={n}]")), "{path}");
    }
    let (before, after) = (look_up_time(&few, 100), look_up_time(&lots, 10_000));
    // Walking through the routes would take a hundred times as long.
    assert!(after < before * 10, "{before:?} with 100 routes, {after:?} with 10,000");
}
