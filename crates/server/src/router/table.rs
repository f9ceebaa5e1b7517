//! The built routes: a radix tree over paths, a short list of methods under each.
//!
//! A look-up walks the path once, whatever the number of routes, and allocates nothing.

use std::collections::HashMap;
use std::fmt::Write as _;

use http::{HeaderValue, Method};
use lorraine_proto::message::Protocol;

use super::endpoint::Endpoint;
use super::error::{RouteMistake, RouterError};
use super::pattern::{Entry, Pattern};
use super::{Declared, Scope};

pub(super) struct Table {
    tree: matchit::Router<usize>,
    nodes: Vec<Node>,
    routes: Vec<Route>,
    pub(super) fallback: Option<Endpoint>,
    /// Protocols that any path speaks.
    protocols: Vec<Protocol>,
    /// All methods that any path takes, for `OPTIONS *`.
    pub(super) allow: HeaderValue,
}

/// What answers, and what it calls its parameters.
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    names: Box<[Box<str>]>,
    /// It is a service that sees the rest of the path only.
    pub(super) nested: bool,
}

impl Route {
    /// The names of the parameters it gets: not that of the rest, where the URI shows it.
    pub(super) fn own_names(&self) -> &[Box<str>] {
        let rest = usize::from(self.nested);
        &self.names[..self.names.len() - rest]
    }
}

/// One path and its methods. The numbers are those of routes.
#[derive(Default)]
struct Node {
    methods: Vec<(Method, usize)>,
    protocols: Vec<(Protocol, usize)>,
    any: Option<usize>,
    allow: Option<HeaderValue>,
}

/// Where a request goes.
pub(super) enum Found<'t, 'p> {
    /// To this route, with the values of its parameters still encoded.
    Route(&'t Route, matchit::Params<'t, 'p>),
    /// The path exists, and OPTIONS is answered without a handler.
    Options(&'t HeaderValue),
    /// The path exists, the method does not.
    WrongMethod(&'t HeaderValue),
    /// There is no such path.
    Nothing,
}

impl Table {
    pub(super) fn build(
        declared: Vec<Declared>,
        fallback: Option<Endpoint>,
        mistakes: Vec<RouteMistake>,
    ) -> Result<Self, RouterError> {
        Builder { mistakes, ..Builder::default() }.build(declared, fallback)
    }

    /// Finds what speaks a protocol on a path in its normal form, or the service nested there.
    pub(super) fn find_protocol<'t, 'p>(&'t self, protocol: &Protocol, path: &'p str) -> Found<'t, 'p> {
        let Ok(matched) = self.tree.at(path) else { return Found::Nothing };
        let node = &self.nodes[*matched.value];
        let nested = node.any.filter(|route| self.routes[*route].nested);
        match node.speaker(protocol).or(nested) {
            Some(route) => Found::Route(&self.routes[route], matched.params),
            None => Found::WrongMethod(node.allow.as_ref().unwrap_or(&self.allow)),
        }
    }

    /// Whether some route speaks it; a nested service may.
    pub(super) fn may_speak(&self, protocol: &Protocol) -> bool {
        self.speaks(protocol) || self.routes.iter().any(|route| route.nested)
    }

    /// Whether some route is declared for it.
    pub(super) fn speaks(&self, protocol: &Protocol) -> bool {
        self.protocols.iter().any(|own| is_same(own, protocol))
    }

    /// Finds what takes a path in its normal form.
    pub(super) fn find<'t, 'p>(&'t self, method: &Method, path: &'p str) -> Found<'t, 'p> {
        let Ok(matched) = self.tree.at(path) else { return Found::Nothing };
        let node = &self.nodes[*matched.value];
        let allow = || node.allow.as_ref().unwrap_or(&self.allow);
        match node.select(method) {
            Some(route) => Found::Route(&self.routes[route], matched.params),
            None if *method == Method::OPTIONS => Found::Options(allow()),
            None => Found::WrongMethod(allow()),
        }
    }
}

impl Node {
    fn select(&self, method: &Method) -> Option<usize> {
        let own = |method: &Method| self.methods.iter().find(|(own, _)| own == method).map(|(_, route)| *route);
        // RFC 9110 §9.3.2: HEAD is GET without the content.
        own(method).or_else(|| if *method == Method::HEAD { own(&Method::GET) } else { None }).or(self.any)
    }

    fn speaker(&self, protocol: &Protocol) -> Option<usize> {
        self.protocols.iter().find(|(own, _)| is_same(own, protocol)).map(|(_, route)| *route)
    }

    /// The route that already takes all that `scope` takes.
    fn taker(&self, scope: &Scope) -> Option<usize> {
        match scope {
            Scope::Method(method) => self.methods.iter().find(|(own, _)| own == method).map(|(_, route)| *route),
            Scope::Any | Scope::Nest => self.any,
            Scope::Protocol(protocol) => self.speaker(protocol),
        }
    }

    fn add(&mut self, scope: &Scope, route: usize) {
        match scope {
            Scope::Method(method) => self.methods.push((method.clone(), route)),
            Scope::Any | Scope::Nest => self.any = Some(route),
            Scope::Protocol(protocol) => self.protocols.push((protocol.clone(), route)),
        }
    }
}

#[derive(Default)]
struct Builder {
    tree: matchit::Router<usize>,
    nodes: Vec<Node>,
    /// Each path of the tree with its node and the route that was the first there.
    known: HashMap<String, (usize, usize)>,
    mistakes: Vec<RouteMistake>,
}

impl Builder {
    fn build(mut self, declared: Vec<Declared>, fallback: Option<Endpoint>) -> Result<Table, RouterError> {
        let patterns: Vec<_> = declared.iter().map(|route| self.parse(route)).collect();
        // What follows from a wildcard gives way to what was declared, so it is entered last.
        for implied in [false, true] {
            for (index, pattern) in patterns.iter().enumerate() {
                let entries = pattern.iter().flat_map(|pattern| pattern.entries());
                for entry in entries.filter(|entry| entry.implied == implied) {
                    self.enter(&declared, index, &entry);
                }
            }
        }
        if !self.mistakes.is_empty() {
            return Err(RouterError::new(self.mistakes));
        }
        for node in &mut self.nodes {
            node.allow = Some(allow(node.methods.iter().map(|(method, _)| method)));
        }
        let allow = allow(self.nodes.iter().flat_map(|node| node.methods.iter().map(|(method, _)| method)));
        let routes = declared.into_iter().zip(patterns).filter_map(|(route, pattern)| {
            let Pattern { names, .. } = pattern?;
            Some(Route { endpoint: route.endpoint, names, nested: route.scope == Scope::Nest })
        });
        let protocols = self.nodes.iter().flat_map(|node| node.protocols.iter().map(|(protocol, _)| protocol.clone()));
        let protocols = protocols.collect();
        Ok(Table { tree: self.tree, routes: routes.collect(), fallback, protocols, allow, nodes: self.nodes })
    }

    fn parse(&mut self, route: &Declared) -> Option<Pattern> {
        let name = route.to_string();
        let parsed = match &route.scope {
            Scope::Method(method) if *method == Method::CONNECT => Err(RouteMistake::Connect { route: name }),
            Scope::Method(_) | Scope::Any | Scope::Protocol(_) => Pattern::parse(&route.path, &name),
            Scope::Nest => Pattern::parse_prefix(&route.path, &name),
        };
        parsed.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    fn enter(&mut self, declared: &[Declared], route: usize, entry: &Entry<'_>) {
        let scope = &declared[route].scope;
        let Some(node) = self.node(declared, route, entry.tree) else { return };
        let node = &mut self.nodes[node];
        // Sessions are asked for by a method of their own, which no other route takes.
        let any = if entry.implied && !matches!(scope, Scope::Protocol(_)) { node.any } else { None };
        match node.taker(scope).or(any) {
            None => node.add(scope, route),
            Some(_) if entry.implied => {}
            Some(earlier) => self.mistakes.push(RouteMistake::Duplicate {
                route: declared[route].to_string(),
                earlier: declared[earlier].to_string(),
            }),
        }
    }

    /// The node of a path, made if need be; `None` after a conflict.
    fn node(&mut self, declared: &[Declared], route: usize, tree: &str) -> Option<usize> {
        if let Some((node, _)) = self.known.get(tree) {
            return Some(*node);
        }
        let node = self.nodes.len();
        if let Err(error) = self.tree.insert(tree, node) {
            let route = declared[route].to_string();
            let earlier = self.conflicting(declared, &error);
            self.mistakes.push(RouteMistake::Conflict { route, earlier });
            return None;
        }
        self.nodes.push(Node::default());
        self.known.insert(tree.to_owned(), (node, route));
        Some(node)
    }

    /// The route that the tree ran into. The tree names one path below the conflict, not always a whole one.
    fn conflicting(&self, declared: &[Declared], error: &matchit::InsertError) -> String {
        let matchit::InsertError::Conflict { with } = error else { return error.to_string() };
        let below = || self.known.iter().filter(|(tree, _)| tree.starts_with(with)).map(|(_, (_, route))| *route).min();
        let route = self.known.get(with).map(|(_, route)| *route).or_else(below);
        route.map_or_else(|| with.clone(), |route| declared[route].to_string())
    }
}

/// WebTransport has two names, by its drafts.
fn is_same(own: &Protocol, asked: &Protocol) -> bool {
    own == asked || own.is_webtransport() && asked.is_webtransport()
}

/// The value of `allow` for these methods and what Lorraine adds to them.
fn allow<'m>(methods: impl Iterator<Item = &'m Method>) -> HeaderValue {
    let mut all: Vec<&Method> = Vec::new();
    for method in methods.flat_map(|method| [Some(method), (*method == Method::GET).then_some(&Method::HEAD)]).flatten()
    {
        if !all.contains(&method) {
            all.push(method);
        }
    }
    if !all.contains(&&Method::OPTIONS) {
        all.push(&Method::OPTIONS);
    }
    let mut list = String::new();
    for method in all {
        let separator = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{separator}{method}");
    }
    HeaderValue::try_from(list).expect("methods are tokens (RFC 9110 §9.1)")
}
