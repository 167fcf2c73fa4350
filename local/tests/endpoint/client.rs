//! A client that asks again where AWS's customers have to: for what isn't known yet, for what is in the way for a while, for throttles
//! and for answers that were lost.

use super::{
    door::{Door, Unanswered},
    processes::PATIENCE,
    request::Answer,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Whether an error is one that goes away by itself. An internal one does only if the conditions made it: else it is a fault of ours.
pub fn may_pass(error: &Answer) -> bool {
    let code = error.element("Code");
    let message = error.element("Message");
    // `InvalidVpcID.NotFound` and `NatGatewayNotFound`; and what EC2 has no such code for, as tasks.
    let is_unknown =
        code.ends_with("NotFound") || code == "InvalidParameterValue" && message.ends_with("does not exist");
    // `IncorrectState` and `IncorrectInstanceState`.
    let is_on_its_way = code.starts_with("Incorrect") && code.ends_with("State");
    // The last two come and go in hostile conditions.
    let others = ["DependencyViolation", "RequestLimitExceeded", "InsufficientInstanceCapacity", "VcpuLimitExceeded"];
    is_unknown || is_on_its_way || others.contains(&code) || message.ends_with("(by the conditions)")
}

/// Whether a request does no harm that is done twice: it only reads, or says what is to be, or has a token.
fn may_be_repeated(request: &str) -> bool {
    let action = request.strip_prefix("Action=").unwrap_or_default();
    let idempotent = ["Describe", "Get", "Modify", "Terminate", "Stop", "Start"];
    idempotent.iter().any(|verb| action.starts_with(verb)) || request.contains("&ClientToken=")
}

/// The user data of a launch, as a further parameter.
pub fn user_data(script: &str) -> String {
    format!("&UserData={}", STANDARD.encode(script).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

impl Door {
    /// Asks until it is done, or refused for good. Who asks for something new, without a client token, must be answered: nobody knows
    /// whether it was made, if not ([`Self::insist`], [`Self::call_twice`]).
    #[track_caller]
    pub fn call(&self, request: &str) -> Answer {
        self.until_done(request, "", may_be_repeated(request)).unwrap()
    }

    /// The same, though a lost answer may mean that it is done twice.
    #[track_caller]
    pub fn call_twice(&self, request: &str) -> Answer {
        self.until_done(request, "", true).unwrap()
    }

    /// The same, where an error of this code (or what it begins with) says that it was done before, though nobody heard of it.
    #[track_caller]
    pub fn insist(&self, request: &str, done: &str) -> Option<Answer> {
        self.until_done(request, done, true)
    }

    #[track_caller]
    fn until_done(&self, request: &str, done: &str, may_be_repeated: bool) -> Option<Answer> {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let said = match self.ask(request) {
                Ok(answer) if answer.status == 200 => return Some(answer),
                Ok(error) if !done.is_empty() && error.element("Code").starts_with(done) => return None,
                Ok(error) => {
                    assert!(may_pass(&error), "{request}: {}", error.body);
                    error.body
                }
                Err(Unanswered) => {
                    assert!(
                        may_be_repeated,
                        "{request}: not answered, so nobody knows whether it was done: ask with a client token, or say what \
                         tells that it was (insist), or that it may be done twice (call_twice)"
                    );
                    "nothing".to_owned()
                }
            };
            assert!(Instant::now() < deadline, "{request}: {said}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks until the answer has some words.
    #[track_caller]
    pub fn until(&self, request: &str, words: &str) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(request);
            if answer.body.contains(words) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{request}, no {words}: {answer:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the first element of a name holds in an answer, once it is there. What makes something tells of it at once, and isn't asked
    /// again.
    #[track_caller]
    pub fn find(&self, request: &str, element: &str) -> String {
        if may_be_repeated(request) {
            self.until(request, &format!("<{element}>")).one(element)
        } else {
            self.call(request).one(element)
        }
    }
}
