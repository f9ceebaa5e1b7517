//! What the packets on the wire look like: how large they are, and how close together.

use http::Method;
use lorraine::{Body, EngineConfig, Router};
use lorraine_testkit::relay::{Link, Relay, RelayConfig, Stats, Toward};

use crate::site::{Site, Visit, on_every_event_loop, request};

/// Bytes of a download, and of an upload.
const LEN: usize = 4 << 20;

fn routes() -> Router {
    let bytes = bytes::Bytes::from(vec![7; LEN]);
    let get = move |_| std::future::ready(Body::from(bytes.clone()));
    Router::new().get("/", get).post("/", async |request| {
        let mut body = request.into_body();
        let mut len = 0;
        while let Some(Ok(chunk)) = body.chunk().await {
            len += chunk.len();
        }
        len.to_string()
    })
}

async fn both_ways(visit: &Visit) {
    assert_eq!(visit.get("/").await.body.unwrap().len(), LEN);
    let answer = visit.ask(request(Method::POST, "/", Body::from(vec![7; LEN]))).await;
    assert_eq!(answer.text(), LEN.to_string());
}

#[test]
fn on_the_loopback_interface_packets_may_exceed_an_ethernet_frame() {
    on_every_event_loop(|event_loop| {
        let config = EngineConfig { max_loopback_payload: 16_376, ..EngineConfig::default() };
        let site = Site::with(event_loop, |builder| builder.engine(config), routes().build().unwrap());
        site.browse(async |visit: Visit| both_ways(&visit).await);
        let report = &site.server.handle().report()[0];
        let sent = report.connections;
        assert!(sent.bytes_sent / sent.datagrams_sent > 4000, "{sent:?}");
        assert_eq!(report.io.sent.dropped() + report.io.received.dropped(), 0, "{:?}", report.io);
    });
}

#[test]
fn path_that_carries_less_is_filled_both_ways() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        let mut config = RelayConfig::new(site.server.local_addr());
        let link = Link { mtu: Some(1300), ..Link::default() };
        (config.to_server, config.to_client) = (link.clone(), link.clone());
        let relay = Relay::start(config).unwrap();
        site.browse_at(relay.addr(), async |visit: Visit| {
            let lost = |stats: Stats| (stats.to_client.dropped_by_mtu, stats.to_server.dropped_by_mtu);
            let mut before = relay.stats();
            loop {
                relay.set_link(Toward::Server, link.clone());
                relay.set_link(Toward::Client, link.clone());
                both_ways(&visit).await;
                let after = relay.stats();
                // The searches are over, having lost something, when nothing more is lost; packets are full then.
                if lost(after) == lost(before) {
                    assert_eq!((after.to_client.largest, after.to_server.largest), (1300, 1300));
                    break;
                }
                before = after;
            }
            assert!(before.to_client.dropped_by_mtu > 0 && before.to_server.dropped_by_mtu > 0, "{before:?}");
            // The path changes while the connection lives.
            let narrow = Link { mtu: Some(1250), ..Link::default() };
            relay.set_link(Toward::Server, narrow.clone());
            relay.set_link(Toward::Client, narrow);
            both_ways(&visit).await;
        });
    });
}
