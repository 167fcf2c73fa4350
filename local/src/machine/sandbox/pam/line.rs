//! The lines of a service's file as libpam reads them (pam.d(5)).

/// A line that says something.
#[derive(Debug)]
pub(super) struct Entry {
    /// `auth` and its like, in small letters; [`INCLUDE`].
    pub(super) kind: String,
    /// In small letters, a list in its brackets; empty for [`INCLUDE`].
    pub(super) control: String,
    /// The module, or the file that is included.
    pub(super) target: String,
    pub(super) arguments: Vec<String>,
}

/// Debian's way to include a file with the lines of all types.
pub(super) const INCLUDE: &str = "@include";
/// The types that there are.
const KINDS: [&str; 4] = ["auth", "account", "password", "session"];

impl Entry {
    /// None if there is something missing, or the type is none. Libpam lets whoever comes to such a line fail.
    pub(super) fn of(line: &str) -> Option<Self> {
        let mut tokens = tokens(line)?.into_iter();
        let kind = tokens.next()?.to_ascii_lowercase();
        let is_include = kind == INCLUDE;
        let kind = kind.strip_prefix('-').unwrap_or(&kind).to_owned();
        if !is_include && !KINDS.contains(&kind.as_str()) {
            return None;
        }
        let control = if is_include { String::new() } else { tokens.next()?.to_ascii_lowercase() };
        Some(Self { kind, control, target: tokens.next()?, arguments: tokens.collect() })
    }

    /// Whether it stands for the lines of another file.
    pub(super) fn is_include(&self) -> bool {
        self.kind == INCLUDE || ["include", "substack"].contains(&self.control.as_str())
    }

    /// Whether it is about who somebody is.
    pub(super) fn is_of_auth(&self) -> bool {
        [INCLUDE, "auth"].contains(&self.kind.as_str())
    }

    /// The module's name, wherever it lies.
    pub(super) fn module(&self) -> &str {
        let name = self.target.rsplit('/').next().unwrap_or(&self.target);
        name.strip_suffix(".so").unwrap_or(name)
    }
}

/// The type of a line that libpam lets fail.
pub(super) fn kind_of_broken(line: &str) -> &'static str {
    let first = line.split_whitespace().next().unwrap_or_default().trim_start_matches('-');
    KINDS.into_iter().find(|kind| kind.eq_ignore_ascii_case(first)).unwrap_or("auth")
}

/// The lines, put together where they go on in the next one, and without comments: a `#` ends a line wherever it stands, and a
/// backslash behind it joins nothing.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut result = Vec::new();
    let mut whole = String::new();
    for line in text.lines() {
        let (line, has_comment) = line.split_once('#').map_or((line, false), |(line, _)| (line, true));
        let line = line.trim();
        let joined = line.strip_suffix('\\').filter(|_| !has_comment);
        whole.push_str(joined.unwrap_or(line).trim());
        match joined {
            Some(_) => whole.push(' '),
            None => result.push(std::mem::take(&mut whole)),
        }
    }
    result.push(whole);
    result.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The words of a line; what stands in brackets is one. None if a bracket isn't closed.
fn tokens(line: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = if rest.starts_with('[') {
            // A backslash takes its meaning from a closing one.
            let closes = |&(at, _): &(usize, &str)| !rest[..at].ends_with('\\');
            rest.match_indices(']').find(closes)?.0 + 1
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        tokens.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_libpam_has_them_end() {
        let text = "# mine \\\nauth required \\\n\tpam_unix.so  # not joined \\\nauth optional pam_cap.so\n\n  auth \\";
        assert_eq!(lines(text), ["auth required pam_unix.so", "auth optional pam_cap.so", "auth"]);
    }

    #[test]
    fn words_are_taken_apart() {
        let entry = Entry::of("-AUTH [Success=1  default=ignore]\t/lib/security/pam_unix.so a [b \\] c]").unwrap();
        assert_eq!((entry.kind.as_str(), entry.control.as_str()), ("auth", "[success=1  default=ignore]"));
        assert_eq!((entry.module(), entry.arguments.as_slice()), ("pam_unix", &["a".into(), "[b \\] c]".into()][..]));
        assert!(Entry::of("@Include common-auth").unwrap().is_include());
        assert!(Entry::of("auth SubStack common-auth").unwrap().is_include());
        for broken in ["auth", "auth required", "auth [success=1 pam_unix.so", "nothing required pam_unix.so"] {
            assert!(Entry::of(broken).is_none(), "{broken}");
        }
        assert_eq!((kind_of_broken("-Session x"), kind_of_broken("x")), ("session", "auth"));
    }
}
