//! A client and a server against each other: random requests and responses over a network that cuts and delays, with
//! resets, stops and releases anywhere. Every byte arrives once and in order, and nothing is left at the end.

mod halves;

use std::collections::BTreeMap;

use bytes::Bytes;
use lorraine_proto::{Code, Config, Event, RequestError, Role, StreamId};

use crate::common::pair::{Pair, Side};
use crate::common::random::{Random, Seed};
use crate::common::wire::Rules;
use halves::{Plan, Reader, Writer};

/// One request and its response, as both applications see it.
struct Exchange {
    asks: Plan,
    answers: Plan,
    client: Application,
    server: Application,
}

/// One application's part in an exchange.
struct Application {
    /// It was told of it. A client always was.
    told: bool,
    reader: Reader,
    writer: Writer,
    /// It has broken off what it sends, or what it receives: the other must put up with that.
    has_reset: bool,
    has_stopped: bool,
}

impl Application {
    fn new(told: bool, plan: &Plan) -> Self {
        let (reader, writer) = (Reader::default(), Writer::new(plan));
        Self { told, reader, writer, has_reset: false, has_stopped: false }
    }
}

struct Simulation {
    random: Random,
    pair: Pair,
    exchanges: BTreeMap<StreamId, Exchange>,
    /// Requests still to be made.
    to_ask: usize,
    disruptive: bool,
    /// The server has said GOAWAY, and then with the last request it takes.
    leaving: Option<bool>,
    /// Where every byte takes a step of its own, messages are short.
    small: bool,
}

fn rules(random: &mut Random, window: u64) -> Rules {
    Rules {
        piece: random.pick(&[1, 7, 1000, usize::MAX, usize::MAX]),
        window,
        reports_again: random.chance(50),
        ..Rules::default()
    }
}

fn config(random: &mut Random) -> Config {
    let mut config = Config { grease_seed: random.next(), ..Config::default() };
    config.limits.qpack_table_capacity = random.pick(&[0, 220, 4096]);
    config.limits.qpack_encoder_capacity = random.pick(&[0, 220, 4096]);
    config.limits.qpack_blocked_streams = random.pick(&[0, 16]);
    config.limits.body_read_size = random.pick(&[1, 100, 32 * 1024, 32 * 1024, 32 * 1024]);
    config
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let window = random.pick(&[1, 20, 1000, 1500, 70_000]);
        let client = (config(&mut random), rules(&mut random, window));
        let server = (config(&mut random), rules(&mut random, window));
        let is_slow = |(config, rules): &(Config, Rules)| {
            rules.piece < 100 || rules.window < 100 || config.limits.body_read_size < 100
        };
        let small = is_slow(&client) || is_slow(&server);
        Self {
            pair: Pair::new(client, server),
            exchanges: BTreeMap::new(),
            to_ask: 1 + random.below(12),
            disruptive: random.chance(60),
            leaving: random.chance(20).then_some(false),
            small,
            random,
        }
    }

    fn run(mut self) {
        for _ in 0..300 {
            self.step();
        }
        // From here on everyone hurries.
        let mut rounds = 0;
        while !self.is_over() {
            rounds += 1;
            assert!(rounds < 20_000, "stuck: {}", self.describe());
            self.hurry();
        }
        self.check_the_end();
    }

    /// Everyone does what there is to do.
    fn hurry(&mut self) {
        self.pair.credit();
        self.ask();
        self.leave();
        for role in [Role::Client, Role::Server] {
            self.turn(role);
            for at in 0..self.exchanges.len() {
                self.act(at, role);
                self.act(at, role);
            }
            for _ in 0..30 {
                if !self.pair.carry(&mut self.random, role) {
                    break;
                }
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=2 => drop(self.pair.carry(&mut self.random, Role::Client)),
            3..=5 => drop(self.pair.carry(&mut self.random, Role::Server)),
            6 => self.turn(Role::Client),
            7 => self.turn(Role::Server),
            8 if !self.exchanges.is_empty() => {
                let at = self.random.below(self.exchanges.len());
                let role = if self.random.chance(50) { Role::Client } else { Role::Server };
                self.act(at, role);
            }
            _ => {
                self.pair.credit();
                self.ask();
                self.leave();
            }
        }
    }

    fn side(&mut self, role: Role) -> &mut Side {
        if role == Role::Client { &mut self.pair.client } else { &mut self.pair.server }
    }

    fn ask(&mut self) {
        if self.to_ask == 0 || self.random.chance(50) {
            return;
        }
        let (asks, answers) = Plan::exchange(&mut self.random, self.small);
        let parts = asks.request();
        let side = &mut self.pair.client;
        match side.conn.request(&parts, &mut Bytes::new(), asks.is_empty(), &mut side.wire) {
            Ok((id, sent)) => {
                let mut client = Application::new(true, &asks);
                client.writer.on_head(sent, &asks);
                let server = Application::new(false, &answers);
                self.exchanges.insert(id, Exchange { asks, answers, client, server });
                self.to_ask -= 1;
            }
            Err(RequestError::GoingAway) => self.to_ask = 0,
            Err(error) => panic!("a good request is refused: {error}"),
        }
    }

    fn leave(&mut self) {
        if let Some(last) = self.leaving
            && self.random.chance(5)
        {
            let side = &mut self.pair.server;
            side.conn.go_away(last, &mut side.wire).expect("nobody stops control streams");
            self.leaving = (!last).then_some(true);
        }
    }

    fn turn(&mut self, role: Role) {
        let now = self.pair.now;
        for event in self.side(role).turn(now) {
            self.on_event(role, event);
        }
    }

    fn on_event(&mut self, role: Role, event: Event) {
        let id = match &event {
            Event::Request { stream, .. } | Event::Response { stream, .. } => *stream,
            Event::Readable(id) | Event::Writable(id) | Event::Reset(id, _) | Event::Stopped(id, _) => *id,
            Event::Failed(id, fault) => panic!("stream {id} fails: {fault}"),
            _ => return,
        };
        let exchange = self.exchanges.get_mut(&id).expect("a stream that was opened");
        let (own, peer, peers_plan) = match role {
            Role::Client => (&mut exchange.client, &exchange.server, &exchange.answers),
            Role::Server => (&mut exchange.server, &exchange.client, &exchange.asks),
        };
        match event {
            Event::Request { parts, end, .. } => {
                assert!(!own.told, "a request is told twice");
                own.told = true;
                peers_plan.check_request(&parts);
                own.reader.on_head(end, peers_plan);
            }
            Event::Response { parts, end, .. } if peers_plan.check_response(&parts) => {
                own.reader.on_head(end, peers_plan);
            }
            Event::Readable(_) => own.reader.waiting = false,
            Event::Writable(_) => own.writer.waiting = false,
            Event::Reset(_, code) => {
                // A server answers for itself where its application has seen nothing.
                let is_rejection = !peer.told && (code == Code::H3_REQUEST_REJECTED || own.has_reset);
                assert!(peer.has_reset || is_rejection, "{role:?} is told of a reset of {id} nobody sent: {code}");
                own.reader.over = true;
            }
            Event::Stopped(_, code) => {
                let is_rejection = code == Code::H3_REQUEST_REJECTED && !peer.told;
                assert!(peer.has_stopped || is_rejection, "{role:?} is told of a stop of {id} nobody sent: {code}");
                own.writer.over = true;
            }
            _ => {}
        }
        assert!(own.told, "told of an unknown stream");
    }

    /// One of the applications does something at one of its exchanges.
    fn act(&mut self, at: usize, role: Role) {
        let (id, exchange) = self.exchanges.iter_mut().nth(at).expect("below their number");
        let (id, now) = (*id, self.pair.now);
        let (side, own, plan, peers_plan) = match role {
            Role::Client => (&mut self.pair.client, &mut exchange.client, &exchange.asks, &exchange.answers),
            Role::Server => (&mut self.pair.server, &mut exchange.server, &exchange.answers, &exchange.asks),
        };
        if !own.told {
            return;
        }
        if self.disruptive && self.random.chance(2) {
            return disrupt(&mut self.random, side, id, own, role);
        }
        if self.random.chance(50) {
            own.reader.read(now, id, side, peers_plan);
        } else {
            own.writer.write(&mut self.random, id, side, plan, role);
        }
        // A server that has answered does not leave a body lying about.
        if role == Role::Server && own.writer.over && !own.reader.over && self.random.chance(10) {
            side.conn.release_body(id, &mut side.wire);
            (own.reader.over, own.has_stopped) = (true, true);
        }
    }

    fn is_over(&self) -> bool {
        let sides_are = self.pair.client.conn.active_requests() == 0 && self.pair.server.conn.active_requests() == 0;
        let done = |exchange: &Exchange| {
            let server = &exchange.server;
            exchange.client.reader.over && exchange.client.writer.over && (!server.told || server.writer.over)
        };
        self.to_ask == 0 && sides_are && self.exchanges.values().all(done)
    }

    fn check_the_end(&mut self) {
        let mut idle = 0;
        while idle < 50 {
            let moved =
                self.pair.carry(&mut self.random, Role::Client) | self.pair.carry(&mut self.random, Role::Server);
            idle = if moved { 0 } else { idle + 1 };
            self.pair.credit();
            self.turn(Role::Client);
            self.turn(Role::Server);
        }
        for role in [Role::Client, Role::Server] {
            let side = self.side(role);
            assert_eq!(side.conn.active_requests(), 0);
            assert_eq!(side.conn.poll_timeout(), None);
            let left: Vec<_> = side.wire.open_streams().filter(|id| id.is_bidirectional()).collect();
            let describe = || left.iter().map(|id| format!("{id}: {}", side.wire.describe(*id))).collect::<Vec<_>>();
            assert!(left.is_empty(), "left at the {role:?}: {:#?}", describe());
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (id, exchange) in &self.exchanges {
            for (role, own) in [("client", &exchange.client), ("server", &exchange.server)] {
                let (reader, writer) = (&own.reader, &own.writer);
                text += &format!("\n{id} {role} told {} {reader:?} {writer:?}", own.told);
                let side = if role == "client" { &self.pair.client } else { &self.pair.server };
                text += &format!("\n   {}", side.wire.describe(*id));
            }
        }
        let (client, server) = (&self.pair.client, &self.pair.server);
        text + &format!("\nactive {} and {}", client.conn.active_requests(), server.conn.active_requests())
    }
}

fn disrupt(random: &mut Random, side: &mut Side, id: StreamId, own: &mut Application, role: Role) {
    let both = random.chance(30);
    let code = if role == Role::Client { Code::H3_REQUEST_CANCELLED } else { Code::H3_INTERNAL_ERROR };
    if both || random.chance(50) {
        side.conn.reset(id, code, &mut side.wire);
        own.has_reset = true;
        own.writer.over = true;
    }
    if both || random.chance(30) {
        side.conn.stop_sending(id, code, &mut side.wire);
        own.has_stopped = true;
        own.reader.over = true;
    } else if random.chance(50) {
        side.conn.release_body(id, &mut side.wire);
        own.has_stopped = true;
        own.reader.over = true;
    }
}

#[test]
fn every_message_arrives_and_nothing_is_left() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in first.map_or(0..seeds, |seed| seed..seed + 1) {
        let _seed = Seed(seed);
        Simulation::new(seed).run();
    }
}
