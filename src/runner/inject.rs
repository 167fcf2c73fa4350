//! Parameters, provided by their types: first each says what it needs, then all is launched, then each takes its own.

use super::{TestContext, test::Test};
use crate::{
    ec2::{Ec2, ImageSource, Instance, Launch, NewNetworkInterface, NewVolume, Vpc},
    error::{Error, ErrorKind},
};
use std::ops::Range;

/// A type that a test can have as a parameter.
///
/// An [`Instance`] or `[Instance; N]` is launched and ready; [`Ec2`] is the account; a [`Vpc`] is made, and the test's machines stand in
/// it; a [`TestContext`] tells of the test.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a parameter of an `#[ec2_test]`",
    label = "nothing of this type can be provided",
    note = "provided, by value and by type, are `Instance`, `[Instance; N]`, `Vpc`, `Ec2` and `TestContext`",
    note = "values of your own come from rstest: write `#[rstest]` first, `#[test_attr(ec2_test)]` instead of \
            `#[ec2_test]`, and mark the parameters that are ours with `#[ignore]`"
)]
pub trait Inject: Provide {}

/// How it is provided: nobody else can name this, and so nobody else's type is an [`Inject`].
pub trait Provide: Sized {
    /// Says what is needed.
    fn declare(plan: &mut Plan, name: &str, settings: Settings);

    /// Takes it; `machines` are those that were declared.
    ///
    /// # Errors
    ///
    /// They aren't there, which is an error of ours.
    fn take(given: &mut Given, machines: Range<usize>) -> Result<Self, Error>;
}

/// A parameter that is launched, and so can have settings of its own: `vm(name, image = …)`.
#[diagnostic::on_unimplemented(
    message = "`vm(..)` speaks of a parameter of type `{Self}`, which launches no machine",
    label = "no machine",
    note = "settings of its own can have an `Instance` or `[Instance; N]`"
)]
pub trait Launched: Inject {}

/// What one parameter needs beside what its test says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    image: Option<ImageSource>,
    instance_type: Option<String>,
    user_data: Option<String>,
    volumes: Option<Vec<NewVolume>>,
    extra_nics: Option<u16>,
    tags: Vec<(String, String)>,
}

impl Settings {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The image.
    #[must_use]
    pub fn image(mut self, image: impl Into<ImageSource>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// The instance type.
    #[must_use]
    pub fn instance_type(mut self, instance_type: impl Into<String>) -> Self {
        self.instance_type = Some(instance_type.into());
        self
    }

    /// The user data.
    #[must_use]
    pub fn user_data(mut self, user_data: impl Into<String>) -> Self {
        self.user_data = Some(user_data.into());
        self
    }

    /// The volumes beside the root.
    #[must_use]
    pub fn volumes(mut self, volumes: impl IntoIterator<Item = NewVolume>) -> Self {
        self.volumes = Some(volumes.into_iter().collect());
        self
    }

    /// How many network interfaces it has beside the first.
    #[must_use]
    pub fn extra_nics(mut self, count: u16) -> Self {
        self.extra_nics = Some(count);
        self
    }

    /// A tag.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

/// What a parameter has declared, and how it is taken. That it bears the way to take it lets the compiler complain of a
/// wrong type once, where it is declared.
#[derive(Debug)]
pub struct Ticket<T> {
    machines: Range<usize>,
    take: fn(&mut Given, Range<usize>) -> Result<T, Error>,
}

/// All that a test declares.
#[derive(Debug, Default)]
pub struct Plan {
    machines: Vec<Planned>,
    /// The names of the parameters that are the test's own VPC.
    pub(crate) vpcs: Vec<String>,
    /// Whether anything needs EC2.
    pub(crate) connects: bool,
}

/// A machine that is to be launched.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    settings: Settings,
}

impl Plan {
    /// Declares a parameter.
    pub fn declare<T: Inject>(&mut self, name: &str) -> Ticket<T> {
        self.add(name, Settings::default())
    }

    /// Declares a parameter that has settings of its own.
    pub fn declare_with<T: Launched>(&mut self, name: &str, settings: Settings) -> Ticket<T> {
        self.add(name, settings)
    }

    fn add<T: Inject>(&mut self, name: &str, settings: Settings) -> Ticket<T> {
        self.connects = true;
        let first = self.machines.len();
        T::declare(self, name, settings);
        Ticket { machines: first..self.machines.len(), take: T::take }
    }

    fn machine(&mut self, name: String, settings: Settings) {
        self.machines.push(Planned { name, settings });
    }

    /// The machines, in the order of the parameters.
    pub(crate) fn machines(&self) -> &[Planned] {
        &self.machines
    }
}

impl Planned {
    /// The launch of this machine, with what the test says of all.
    pub(crate) fn launch(&self, ec2: &Ec2, test: &Test) -> Launch {
        let Settings { image, instance_type, user_data: own, volumes, extra_nics, tags } = self.settings.clone();
        let mut launch = match image {
            Some(image) => ec2.launch(image),
            None => ec2.launch_default(),
        };
        launch = launch.name(&self.name);
        if let Some(instance_type) = instance_type {
            launch = launch.instance_type(instance_type);
        }
        if let Some(user_data) = own.as_deref().or(test.user_data.as_deref()) {
            launch = launch.user_data(user_data);
        }
        launch = launch.volumes(volumes.unwrap_or_else(|| test.volumes.clone()));
        let extra_nics = extra_nics.unwrap_or(test.extra_nics).into();
        launch = launch.network_interfaces(vec![NewNetworkInterface::new(); extra_nics]);
        tags.into_iter().fold(launch, |launch, (key, value)| launch.tag(key, value))
    }
}

/// All that a test was given, until its parameters take it.
#[derive(Debug)]
pub struct Given {
    /// Whatever declared a parameter has connected.
    context: Option<TestContext>,
    machines: Vec<Option<Instance>>,
    vpc: Option<Vpc>,
}

impl Given {
    pub(crate) fn new(context: Option<TestContext>, machines: Vec<Instance>, vpc: Option<Vpc>) -> Self {
        Self { context, machines: machines.into_iter().map(Some).collect(), vpc }
    }

    /// Takes what belongs to a parameter.
    ///
    /// # Errors
    ///
    /// It isn't there, which is an error of ours.
    pub fn take<T>(&mut self, ticket: Ticket<T>) -> Result<T, Error> {
        (ticket.take)(self, ticket.machines)
    }

    fn machines(&mut self, machines: Range<usize>) -> Result<Vec<Instance>, Error> {
        machines.map(|n| self.machines.get_mut(n).and_then(Option::take).ok_or_else(missing)).collect()
    }

    fn context(&self) -> Result<&TestContext, Error> {
        self.context.as_ref().ok_or_else(missing)
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::Internal, "provide a test's parameter").because("what it declared was not launched")
}

impl Inject for Instance {}

impl Provide for Instance {
    fn declare(plan: &mut Plan, name: &str, settings: Settings) {
        plan.machine(name.to_owned(), settings);
    }

    fn take(given: &mut Given, machines: Range<usize>) -> Result<Self, Error> {
        given.machines(machines)?.pop().ok_or_else(missing)
    }
}

impl Launched for Instance {}

impl<const N: usize> Inject for [Instance; N] {}

impl<const N: usize> Provide for [Instance; N] {
    fn declare(plan: &mut Plan, name: &str, settings: Settings) {
        for n in 0..N {
            plan.machine(format!("{name}[{n}]"), settings.clone());
        }
    }

    fn take(given: &mut Given, machines: Range<usize>) -> Result<Self, Error> {
        given.machines(machines)?.try_into().map_err(|_| missing())
    }
}

impl<const N: usize> Launched for [Instance; N] {}

impl Inject for Vpc {}

impl Provide for Vpc {
    fn declare(plan: &mut Plan, name: &str, _: Settings) {
        plan.vpcs.push(name.to_owned());
    }

    fn take(given: &mut Given, _: Range<usize>) -> Result<Self, Error> {
        given.vpc.take().ok_or_else(missing)
    }
}

impl Inject for Ec2 {}

impl Provide for Ec2 {
    fn declare(_: &mut Plan, _: &str, _: Settings) {}

    fn take(given: &mut Given, _: Range<usize>) -> Result<Self, Error> {
        given.context().map(|context| context.ec2.clone())
    }
}

impl Inject for TestContext {}

impl Provide for TestContext {
    fn declare(_: &mut Plan, _: &str, _: Settings) {}

    fn take(given: &mut Given, _: Range<usize>) -> Result<Self, Error> {
        given.context().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_bear_the_names_of_their_parameters() {
        let mut plan = Plan::default();
        let first = plan.declare::<Instance>("primary");
        let account = plan.declare::<Ec2>("ec2");
        let nodes = plan.declare_with::<[Instance; 2]>("nodes", Settings::new().image("debian-12"));
        let names = plan.machines().iter().map(|planned| planned.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["primary", "nodes[0]", "nodes[1]"]);
        assert_eq!((first.machines, account.machines, nodes.machines), (0..1, 1..1, 1..3));
        let image = plan.machines()[2].settings.image.as_ref().and_then(ImageSource::as_query);
        assert_eq!(image, Some(&"debian-12".into()));
    }

    #[test]
    fn what_was_not_provided_is_an_error() {
        let mut given = Given::new(None, vec![], None);
        let mut plan = Plan::default();
        let (vm, context) = (plan.declare::<Instance>("vm"), plan.declare::<TestContext>("context"));
        assert_eq!(given.take(vm).unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(given.take(context).unwrap_err().kind(), ErrorKind::Internal);
        let none = plan.declare::<[Instance; 0]>("none");
        assert!(given.take(none).unwrap().is_empty());
    }
}
