//! What the load generators share: an endpoint of quinn's for each connection, the budget of a run, and how it went.

use std::{
    cell::{Cell, RefCell},
    error::Error,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt, crypto::rustls as tls};
use rustls::{
    CipherSuite,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};

/// Whatever ends a run early.
pub type Fault = Box<dyn Error + Send + Sync>;

/// An endpoint with a socket of its own, as if it were another client's.
///
/// # Errors
/// When there is no socket left.
pub fn endpoint(server: SocketAddr) -> Result<Endpoint, Fault> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = crate::bind((any, 0).into())?;
    Ok(Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?)
}

/// How all of them connect: AES-128-GCM first, as browsers do, since servers may leave the choice to their clients.
/// Handshakes are never resumed: that would be another measurement.
///
/// # Errors
/// None, as long as ring knows TLS 1.3.
pub fn config(alpn: &[u8]) -> Result<ClientConfig, Fault> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(6 << 20)).receive_window(VarInt::from_u32(15 << 20));
    transport.max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
    let mut config = ClientConfig::new(Arc::new(tls::QuicClientConfig::try_from(config)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Takes leave, so that a server that is asked to stop does not wait for clients that only vanished; with `paced` when the
/// standard input ends.
///
/// # Errors
/// When the standard input cannot be read.
pub async fn leave(endpoints: impl IntoIterator<Item = Endpoint>, paced: bool) -> Result<(), Fault> {
    if paced {
        // The connections live on meanwhile.
        tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    }
    let endpoints: Vec<_> = endpoints.into_iter().collect();
    endpoints.iter().for_each(|endpoint| endpoint.close(H3_NO_ERROR, b""));
    for endpoint in endpoints {
        endpoint.wait_idle().await;
    }
    Ok(())
}

/// What is still to do in a run, and how long each took that is done.
#[derive(Debug)]
pub struct Run {
    start: Instant,
    count: u64,
    left: Cell<u64>,
    bytes: Cell<u64>,
    micros: RefCell<Vec<u32>>,
}

impl Run {
    /// A run of `count`. Whoever measures this process from outside is told, and with `paced` says by a line when it may
    /// begin.
    ///
    /// # Errors
    /// When the standard input cannot be read.
    pub fn begin(count: u64, paced: bool) -> io::Result<Self> {
        let micros = RefCell::new(Vec::with_capacity(count as usize));
        println!("connected");
        if paced {
            io::stdin().read_line(&mut String::new())?;
        }
        Ok(Self { start: Instant::now(), count, left: Cell::new(count), bytes: Cell::new(0), micros })
    }

    /// Whether there is one more to do, which is then the caller's.
    pub fn take(&self) -> bool {
        self.left.replace(self.left.get().saturating_sub(1)) > 0
    }

    /// One is done that began at `start` and moved so many bytes of content.
    pub fn done(&self, start: Instant, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
        self.micros.borrow_mut().push(start.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
    }

    /// Says as a line of JSON how it went. Zeros stand for what nobody measured.
    pub fn tell(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        let mut micros = self.micros.borrow_mut();
        micros.sort_unstable();
        let percentile = |share: usize| micros.get(micros.len() * share / 100).copied().unwrap_or_default();
        let (count, bytes, p50, p99) = (self.count, self.bytes.get(), percentile(50), percentile(99));
        println!(r#"{{"done":{count},"seconds":{seconds:.6},"bytes":{bytes},"p50_us":{p50},"p99_us":{p99}}}"#);
    }
}

/// Believes every server: the certificate is made for the run.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// RFC 9114 §8.1.
const H3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
