//! What the probe asks a machine: each distinct fact once.

/// A question that a function of `probe.sh` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// The function.
    pub(super) function: &'static str,
    /// Its arguments: any text but NUL, which no command line can carry.
    pub(super) arguments: Vec<String>,
    /// Whether one call answers this question for all arguments together.
    shared: bool,
}

impl Fact {
    /// A question of its own.
    pub(super) fn new<const N: usize>(function: &'static str, arguments: [&str; N]) -> Self {
        Self { function, arguments: arguments.map(str::to_owned).to_vec(), shared: false }
    }

    /// A question that is asked once for all that want to know something like it.
    pub(super) fn shared<const N: usize>(function: &'static str, arguments: [&str; N]) -> Self {
        Self { shared: true, ..Self::new(function, arguments) }
    }

    /// Whether it can be put into a command line.
    pub(super) fn can_be_asked(&self) -> bool {
        !self.arguments.iter().any(|argument| argument.contains('\0'))
    }

    /// Whether the answer to the other answers this too.
    pub(super) fn is_answered_by(&self, other: &Self) -> bool {
        self.function == other.function
            && if self.shared {
                self.arguments.iter().all(|argument| other.arguments.contains(argument))
            } else {
                self.arguments == other.arguments
            }
    }

    fn as_call(&self, id: usize) -> String {
        let mut call = format!("{} {id}", self.function);
        for argument in &self.arguments {
            call.push(' ');
            call.push_str(&quote(argument));
        }
        call
    }
}

/// The facts that a set of checks asks for; the place in the list is the fact's number in script and output.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

impl Facts {
    /// Adds a fact, if it isn't there and can be asked.
    pub(super) fn add(&mut self, fact: Fact) {
        if !fact.can_be_asked() || self.number_of(&fact).is_some() {
            return;
        }
        match self.0.iter_mut().find(|other| fact.shared && other.function == fact.function) {
            Some(other) => {
                let new = fact.arguments.into_iter().filter(|argument| !other.arguments.contains(argument));
                other.arguments.extend(new.collect::<Vec<_>>());
            }
            None => self.0.push(fact),
        }
    }

    /// The number of the fact whose answer holds this one's.
    pub(super) fn number_of(&self, fact: &Fact) -> Option<usize> {
        self.0.iter().position(|other| fact.is_answered_by(other))
    }

    /// The script that gathers them all: for `sh -s`, since it may be longer than an argument.
    pub(super) fn script(&self) -> String {
        // The functions travel as one text, so that what needs root can be handed to a second shell, run by sudo.
        let mut body = include_str!("probe.sh").to_owned();
        for (id, fact) in self.0.iter().enumerate() {
            body.push_str(&format!("fact_{id}() {{ {}; }}\n", fact.as_call(id)));
        }
        let ids: String = (0..self.0.len()).map(|id| format!(" {id}")).collect();
        // Read as a whole before it runs, so that what runs in it can't eat the rest of the script from stdin.
        format!("{{\nec2_harness_body={}\neval \"$ec2_harness_body\"\nprobe{ids} </dev/null\nexit\n}}\n", quote(&body))
    }
}

/// A word that every POSIX shell reads as exactly this text.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
