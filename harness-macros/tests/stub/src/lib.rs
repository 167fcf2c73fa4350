//! Stands in for ec2-harness where only the expansion is of interest: nothing is launched, and every run is written down.

use std::{cell::RefCell, fmt::Debug};

pub use __private::SetUp;
pub use ec2_harness_macros::{ec2_snapshot, ec2_test};

/// What a user imports.
pub mod prelude {
    pub use crate::{Ec2, Instance, Machine, NewVolume, SetUp, TestContext, ec2_snapshot, ec2_test, gp3};
}

/// A volume that isn't there.
#[derive(Clone, Debug)]
pub struct NewVolume(pub u64);

/// A volume of so many GiB.
pub fn gp3(size: u64) -> NewVolume {
    NewVolume(size)
}

/// A machine that isn't there.
pub struct Instance(pub String);

/// A machine that isn't there either, without the duty to end it.
pub struct Machine(pub String);

/// An account that isn't there.
pub struct Ec2;

/// What a test may know of itself: all that the macro said of it, in its order.
pub struct TestContext(pub Vec<String>);

/// What the expansion calls.
pub mod __private {
    use super::*;
    use std::time::Duration;

    thread_local! {
        static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub struct Test(Vec<String>);

    #[derive(Clone, Debug)]
    pub struct ImageSource(pub String);

    impl<S: Into<String>> From<S> for ImageSource {
        fn from(name: S) -> Self {
            Self(name.into())
        }
    }

    impl From<SetUp> for ImageSource {
        fn from(set_up: SetUp) -> Self {
            Self(set_up.name.to_owned())
        }
    }

    /// All that the macro said of it.
    #[derive(Clone, Copy)]
    pub struct SetUp {
        pub name: &'static str,
        pub tokens: &'static str,
        pub body: fn(Machine) -> Result<(), String>,
        pub from: Option<fn() -> ImageSource>,
        pub max_age: Option<Duration>,
        pub inputs: Option<(&'static str, &'static [&'static str])>,
    }

    impl Debug for SetUp {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "SetUp({})", self.name)
        }
    }

    impl SetUp {
        pub const fn new(name: &'static str, tokens: &'static str, body: fn(Machine) -> Result<(), String>) -> Self {
            Self { name, tokens, body, from: None, max_age: None, inputs: None }
        }

        pub const fn from(mut self, from: fn() -> ImageSource) -> Self {
            self.from = Some(from);
            self
        }

        pub const fn max_age(mut self, max_age: Duration) -> Self {
            self.max_age = Some(max_age);
            self
        }

        pub const fn inputs(mut self, directory: &'static str, inputs: &'static [&'static str]) -> Self {
            self.inputs = Some((directory, inputs));
            self
        }
    }

    #[diagnostic::on_unimplemented(message = "an `#[ec2_snapshot]` can't return `{Self}`")]
    pub trait SetUpOutcome {
        fn outcome(self) -> Result<(), String>;
    }

    impl SetUpOutcome for () {
        fn outcome(self) -> Result<(), String> {
            Ok(())
        }
    }

    impl<E: Debug> SetUpOutcome for Result<(), E> {
        fn outcome(self) -> Result<(), String> {
            self.map_err(|error| format!("{error:?}"))
        }
    }

    pub fn set_up<T: SetUpOutcome>(body: impl FnOnce(Machine) -> T, machine: Machine) -> Result<(), String> {
        body(machine).outcome()
    }

    pub fn set_up_async<F>(body: impl FnOnce(Machine) -> F, machine: Machine) -> Result<(), String>
    where
        F: Future<Output: SetUpOutcome>,
    {
        let mut future = Box::pin(body(machine));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output.outcome(),
            std::task::Poll::Pending => panic!("nothing here waits"),
        }
    }

    #[derive(Debug)]
    pub enum Keep {
        No,
        Failed,
        Always,
    }

    #[derive(Debug)]
    pub enum Requirement {
        Local,
        Aws,
        X86_64,
        Arm64,
        Systemd,
        CloudInit,
        Sudo,
    }

    #[derive(Default)]
    pub struct Settings(Vec<String>);

    macro_rules! said {
        ($($builder:ident { $($name:ident($($argument:ident: $type:ty),*);)+ })+) => {$(
            impl $builder {
                $(pub fn $name(mut self, $($argument: $type),*) -> Self {
                    self.0.push(format!(concat!(stringify!($name), " {:?}"), ($($argument.clone()),*)));
                    self
                })+
            }
        )+};
    }

    said! {
        Test {
            image(value: impl Into<ImageSource> + Clone + Debug);
            instance_type(value: impl Into<String> + Clone + Debug);
            user_data(value: impl Into<String> + Clone + Debug);
            vpc(value: impl Into<String> + Clone + Debug);
            region(value: impl Into<String> + Clone + Debug);
            timeout(value: Duration);
            volumes(value: impl IntoIterator<Item = NewVolume> + Clone + Debug);
            extra_nics(value: u16);
            tag(key: impl Into<String> + Clone + Debug, value: impl Into<String> + Clone + Debug);
            should_panic(expected: &str);
        }
        Settings {
            image(value: impl Into<ImageSource> + Clone + Debug);
            instance_type(value: impl Into<String> + Clone + Debug);
            user_data(value: impl Into<String> + Clone + Debug);
            volumes(value: impl IntoIterator<Item = NewVolume> + Clone + Debug);
            extra_nics(value: u16);
            tag(key: impl Into<String> + Clone + Debug, value: impl Into<String> + Clone + Debug);
        }
    }

    impl Settings {
        pub fn new() -> Self {
            Self::default()
        }
    }

    impl Test {
        pub fn new(path: &str) -> Self {
            Self(vec![path.to_owned()])
        }

        pub fn keep(mut self, keep: Keep) -> Self {
            self.0.push(format!("keep {keep:?}"));
            self
        }

        pub fn requires(mut self, requirement: Requirement) -> Self {
            self.0.push(format!("requires {requirement:?}"));
            self
        }
    }

    #[derive(Default)]
    pub struct Plan(Vec<String>);

    pub struct Given;

    pub struct Ticket<T>(fn(String) -> T, String);

    impl Plan {
        pub fn declare<T: Inject>(&mut self, name: &str) -> Ticket<T> {
            self.0.push(format!("declare {name}"));
            Ticket(T::provide, name.to_owned())
        }

        pub fn declare_with<T: Launched>(&mut self, name: &str, settings: Settings) -> Ticket<T> {
            self.0.push(format!("declare {name} with {}", settings.0.join(", ")));
            Ticket(T::provide, name.to_owned())
        }
    }

    impl Given {
        pub fn take<T>(&mut self, ticket: Ticket<T>) -> Result<T, String> {
            Ok(ticket.0(ticket.1))
        }
    }

    /// What the last test on this thread said.
    pub fn said() -> Vec<String> {
        SAID.take()
    }

    fn begin<R>(mut test: Test, plan: impl FnOnce(&mut Plan) -> R) -> R {
        let mut declared = Plan::default();
        let receive = plan(&mut declared);
        test.0.append(&mut declared.0);
        SAID.set(test.0);
        receive
    }

    pub fn run<R, B, T>(test: Test, plan: impl FnOnce(&mut Plan) -> R)
    where
        R: FnOnce(&mut Given) -> Result<B, String>,
        B: FnOnce() -> T,
        T: Outcome,
    {
        begin(test, plan)(&mut Given).expect("it is given")().verdict();
    }

    pub fn run_async<R, B, F>(test: Test, plan: impl FnOnce(&mut Plan) -> R)
    where
        R: FnOnce(&mut Given) -> Result<B, String>,
        B: FnOnce() -> F,
        F: Future<Output: Outcome>,
    {
        let mut future = Box::pin(begin(test, plan)(&mut Given).expect("it is given")());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output.verdict(),
            std::task::Poll::Pending => panic!("nothing here waits"),
        }
    }

    #[diagnostic::on_unimplemented(message = "an `#[ec2_test]` can't return `{Self}`")]
    pub trait Outcome {
        fn verdict(self);
    }

    impl Outcome for () {
        fn verdict(self) {}
    }

    impl<E: Debug> Outcome for Result<(), E> {
        fn verdict(self) {
            self.expect("it passes");
        }
    }

    #[diagnostic::on_unimplemented(
        message = "`{Self}` can't be a parameter of an `#[ec2_test]`",
        label = "nothing of this type can be provided"
    )]
    pub trait Inject: Sized {
        fn provide(name: String) -> Self;
    }

    #[diagnostic::on_unimplemented(
        message = "`vm(..)` speaks of a parameter of type `{Self}`, which launches no machine"
    )]
    pub trait Launched: Inject {}

    impl Inject for Instance {
        fn provide(name: String) -> Self {
            Self(name)
        }
    }

    impl Launched for Instance {}

    impl<const N: usize> Inject for [Instance; N] {
        fn provide(name: String) -> Self {
            std::array::from_fn(|n| Instance(format!("{name}[{n}]")))
        }
    }

    impl<const N: usize> Launched for [Instance; N] {}

    impl Inject for Ec2 {
        fn provide(_: String) -> Self {
            Self
        }
    }

    impl Inject for TestContext {
        fn provide(_: String) -> Self {
            Self(said())
        }
    }
}
