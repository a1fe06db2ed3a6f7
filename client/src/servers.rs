//! Which servers a session may go on at, and in which order they are tried. Pure: the connector asks it, and
//! says what came of it.

use std::fmt;

use selvedge_protocol::limits::SERVERS_MAX;

/// The servers that are known, each `host:port`: at most 16 by name and 16 from the cluster, and two more.
#[derive(Debug)]
pub(crate) struct Servers {
    /// As the program named them; never empty.
    named: Vec<String>,
    /// What the cluster told last of others.
    told: Vec<String>,
    /// Where the session is or was last.
    current: Option<Current>,
    /// Where the server sent us, for one round.
    redirect: Option<String>,
}

#[derive(Debug)]
struct Current {
    server: String,
    /// Whether it sent us away or fell silent: any other is better.
    is_left: bool,
}

impl Servers {
    /// `named` are checked, and at least one.
    pub(crate) const fn new(named: Vec<String>) -> Self {
        Self {
            named,
            told: Vec::new(),
            current: None,
            redirect: None,
        }
    }

    /// The servers to try now, each once: where we were sent; where we were, unless there is a reason not to;
    /// the others; at last where we were. Before there was a session the others come as they were named, later in
    /// an order of chance, so that the clients of a node that is lost do not all go to the same.
    pub(crate) fn round(&mut self, mut random: impl FnMut() -> u32) -> Vec<String> {
        let mut round: Vec<String> = self.redirect.take().into_iter().collect();
        let current = self.current.as_ref();
        let (first, last) = match current {
            Some(current) if current.is_left => (None, Some(&current.server)),
            Some(current) => (Some(&current.server), None),
            None => (None, None),
        };
        round.extend(first.cloned());
        let mut others: Vec<&String> = self.named.iter().chain(&self.told).collect();
        if current.is_some() {
            shuffle(&mut others, &mut random);
        }
        for server in others
            .into_iter()
            .filter(|other| Some(*other) != last)
            .chain(last)
        {
            if !round.contains(server) {
                round.push(server.clone());
            }
        }
        round
    }

    /// There is a connection to this server.
    pub(crate) fn connected(&mut self, server: String) {
        self.current = Some(Current {
            server,
            is_left: false,
        });
    }

    /// The cluster told of others. Without any, those that were told before stand.
    pub(crate) fn learn(&mut self, mut servers: Vec<String>) {
        servers.truncate(SERVERS_MAX);
        if !servers.is_empty() {
            self.told = servers;
        }
    }

    /// Any other server is better now than the one where we were.
    pub(crate) const fn leave(&mut self) {
        if let Some(current) = &mut self.current {
            current.is_left = true;
        }
    }

    /// The server sent us there. It may be all that is left of those that are known, so it is remembered until
    /// the cluster tells of others.
    pub(crate) fn redirect(&mut self, server: String) {
        self.leave();
        if !self.told.contains(&server) {
            self.told.insert(0, server.clone());
            self.told.truncate(SERVERS_MAX);
        }
        self.redirect = Some(server);
    }

    pub(crate) const fn is_redirected(&self) -> bool {
        self.redirect.is_some()
    }

    /// Where the session is or was last; before there was a connection, all that were named.
    pub(crate) fn current(&self) -> String {
        match &self.current {
            Some(current) => current.server.clone(),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.join(", "))
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], mut random: impl FnMut() -> u32) {
    for end in (1..items.len()).rev() {
        let drawn = usize::try_from(random()).unwrap_or(0) % (end + 1);
        items.swap(end, drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(named: &[&str]) -> Servers {
        Servers::new(named.iter().map(|&name| name.to_owned()).collect())
    }

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Draws that leave each in its place.
    fn in_place(of: usize) -> impl FnMut() -> u32 {
        let mut end = u32::try_from(of).unwrap();
        move || {
            end -= 1;
            end
        }
    }

    #[test]
    fn at_first_they_come_as_they_were_named() {
        let mut servers = servers(&["a", "b", "c"]);
        for _ in 0..3 {
            assert_eq!(servers.round(|| 0), ["a", "b", "c"]);
        }
        assert_eq!(servers.current(), "a, b, c");
    }

    #[test]
    fn where_it_worked_comes_first_and_where_it_did_not_last() {
        let mut servers = servers(&["a", "b", "c"]);
        servers.connected("b".to_owned());
        assert_eq!(servers.round(in_place(3)), ["b", "a", "c"]);
        servers.leave();
        assert_eq!(servers.round(in_place(3)), ["a", "c", "b"]);
        // It is the last that was tried, and it worked.
        servers.connected("b".to_owned());
        assert_eq!(servers.round(in_place(3)), ["b", "a", "c"]);
    }

    #[test]
    fn the_only_server_is_tried_again_whatever_it_did() {
        let mut servers = servers(&["a"]);
        servers.connected("a".to_owned());
        servers.leave();
        assert_eq!(servers.round(|| 0), ["a"]);
    }

    #[test]
    fn a_redirect_is_followed_and_remembered() {
        let mut servers = servers(&["a", "b"]);
        servers.connected("a".to_owned());
        servers.redirect("z".to_owned());
        assert!(servers.is_redirected());
        assert_eq!(servers.round(in_place(3)), ["z", "b", "a"]);
        assert!(!servers.is_redirected());
        assert_eq!(servers.round(in_place(3)), ["b", "z", "a"]);
        // To one that is known: it is tried once all the same.
        servers.redirect("b".to_owned());
        assert_eq!(servers.round(in_place(3)), ["b", "z", "a"]);
        servers.redirect("a".to_owned());
        servers.learn(texts(&["c"]));
        assert_eq!(servers.round(in_place(4)), ["a", "b", "c"]);
    }

    #[test]
    fn what_the_cluster_tells_is_added_and_replaced() {
        let mut servers = servers(&["a"]);
        servers.connected("a".to_owned());
        servers.learn(texts(&["b", "c"]));
        assert_eq!(servers.round(in_place(3)), ["a", "b", "c"]);
        servers.learn(Vec::new());
        assert_eq!(servers.round(in_place(3)), ["a", "b", "c"], "it stands");
        servers.leave();
        servers.connected("b".to_owned());
        servers.learn(texts(&["a", "d"]));
        assert_eq!(servers.round(in_place(3)), ["b", "a", "d"]);
    }

    #[test]
    fn all_of_it_has_a_bound() {
        let many = |of: &str| (0..100).map(|nth| format!("{of}{nth}")).collect::<Vec<_>>();
        let mut servers = Servers::new(many("n")[..SERVERS_MAX].to_vec());
        servers.connected("elsewhere".to_owned());
        servers.redirect("beyond".to_owned());
        for _ in 0..3 {
            servers.learn(many("t"));
        }
        assert_eq!(servers.round(|| 7).len(), 2 * SERVERS_MAX + 2);
        for nth in 0..100 {
            servers.redirect(format!("r{nth}"));
        }
        assert!(servers.round(|| 7).len() <= 2 * SERVERS_MAX + 1);
    }

    #[test]
    fn chance_spreads_clients_over_the_others() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut servers = servers(&["a", "b", "c", "d"]);
            servers.connected("a".to_owned());
            servers.leave();
            seen.insert(servers.round(|| seed)[0].clone());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["b", "c", "d"]);
    }
}
