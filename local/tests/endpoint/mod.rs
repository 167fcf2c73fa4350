//! An endpoint as tests have one: the built program, which serves from a state directory of its own, and a client that asks it, again
//! where AWS's customers have to ask again.
//!
//! [`Endpoint`] is for who has one, which may be killed and succeeded; [`Server`] and [`State`] are its parts, for who has more.

#![allow(dead_code, unused_imports, reason = "no room needs all of it")]

mod client;
mod door;
mod login;
mod machines;
mod processes;
mod request;
mod server;
mod state;

pub use client::{may_pass, user_data};
pub use door::{Door, Unanswered};
pub use login::Login;
pub use processes::{PATIENCE, descendants, eventually, mounts_of};
pub use request::{Answer, KEY, SECRET, Signed};
pub use server::{Server, open};
pub use state::State;

/// One with a state directory of its own. Both end with the value, and nothing may be left of them.
pub struct Endpoint {
    pub state: State,
    /// There is none only while the next one is started.
    server: Option<Server>,
    /// Those of `ec2-local serve`.
    options: Vec<String>,
    /// What may stay in its state directory.
    pub stays: &'static [&'static str],
}

impl Endpoint {
    /// With options as of `ec2-local serve`; without any, in typical conditions.
    pub fn start(options: &[&str]) -> Self {
        let state = State::new();
        let server = Server::start_with(&state, options);
        let mut endpoint = Self::of(state, server);
        endpoint.options = options.iter().map(ToString::to_string).collect();
        endpoint
    }

    /// One that serves already; those that succeed it are in calm conditions.
    pub fn of(state: State, server: Server) -> Self {
        let options = ["--conditions", "calm"].map(str::to_owned).to_vec();
        Self { state, server: Some(server), options, stays: &[] }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Kills it; the next one takes its account over.
    pub fn succeed(&mut self) {
        self.server.take().unwrap().kill();
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        self.server = Some(Server::start_with(&self.state, &options));
    }
}

impl std::ops::Deref for Endpoint {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.server()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        // A failed test's machines end, too, but their leftovers are no news.
        if !std::thread::panicking() {
            server.end();
            self.state.assert_clean_but_for(self.stays);
        }
    }
}
