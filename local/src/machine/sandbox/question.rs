//! What a machine's keeper is asked, one question at a time, and what it answers.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Questions of a kind to one keeper, and its last answer.
#[derive(Debug)]
pub struct Questions<Subject, Answer>(Mutex<Last<Subject, Answer>>);

#[derive(Debug)]
struct Last<Subject, Answer> {
    number: u64,
    subject: Option<Subject>,
    answer: Option<Answer>,
}

impl<Subject, Answer> Default for Questions<Subject, Answer> {
    fn default() -> Self {
        Self(Mutex::new(Last { number: 0, subject: None, answer: None }))
    }
}

impl<Subject: Copy + PartialEq, Answer: Copy> Questions<Subject, Answer> {
    fn last(&self) -> MutexGuard<'_, Last<Subject, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, with the question's number. A keeper that still owes an answer is asked nothing more: what waits for it stands
    /// before the command to take its machine's power.
    pub fn ask(&self, subject: Subject, send: impl FnOnce(u64)) {
        let mut last = self.last();
        if last.subject.is_some() && last.answer.is_none() {
            return;
        }
        *last = Last { number: last.number + 1, subject: Some(subject), answer: None };
        send(last.number);
    }

    /// What was answered, if that was asked last: who owed another answer has not been asked.
    pub fn answer(&self, subject: Subject) -> Option<Answer> {
        let last = self.last();
        last.answer.filter(|_| last.subject == Some(subject))
    }

    /// Notes what was answered to the question with this number, if that was the last one.
    pub fn note(&self, number: u64, answer: Answer) {
        let mut last = self.last();
        if last.number == number {
            last.answer = Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_that_to_its_own_question() {
        let questions = Questions::<char, u32>::default();
        let ask = |subject| {
            let mut asked = None;
            questions.ask(subject, |number| asked = Some(number));
            asked
        };
        assert_eq!((questions.answer('a'), ask('a'), questions.answer('a')), (None, Some(1), None));
        questions.note(1, 10);
        assert_eq!((questions.answer('a'), questions.answer('b')), (Some(10), None));
        // Asked again, it has to be answered again.
        assert_eq!((ask('a'), questions.answer('a')), (Some(2), None));
        questions.note(1, 11);
        assert_eq!(questions.answer('a'), None);
        // What is owed comes before what else is to be asked.
        assert_eq!(ask('b'), None);
        questions.note(2, 12);
        assert_eq!((questions.answer('a'), questions.answer('b')), (Some(12), None));
        assert_eq!(ask('b'), Some(3));
        questions.note(2, 13);
        assert_eq!(questions.answer('b'), None);
        questions.note(3, 14);
        assert_eq!((questions.answer('a'), questions.answer('b')), (None, Some(14)));
    }
}
