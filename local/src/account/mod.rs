//! The account: everything that EC2 would know, and its rules. Pure: no I/O, no clock of its own, no threads.
