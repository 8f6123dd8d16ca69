//! The journal on a branch.

use tidegate::{
    domain::record::Record,
    port::{Appended, Fault, Journal, Treat},
};

use crate::{
    double::{Double, Op, Trouble},
    journal_suite::{self, fill, record},
    repository::Repository,
    world::{BRANCH, Branch, hurried, log, open, open_with, rewrite, within},
};

#[tokio::test]
async fn a_journal_on_a_branch_keeps_what_journals_promise() {
    journal_suite::all(async || Branch { double: Double::start() }).await;
}

#[tokio::test]
async fn looking_at_an_unchanged_head_is_one_free_request_and_appending_two_writes() {
    let double = Double::start();
    let (journal, cx) = (open(&double), within(30));
    fill(journal.as_ref(), 2).await;
    let creation = [Op::Tip, Op::Plant, Op::Commit, Op::Create];
    assert_eq!(double.ops(), [creation.as_slice(), &[Op::Commit, Op::Move]].concat());

    journal.head(&cx).await.unwrap();
    assert_eq!(double.calls(), [(Op::Tip, 200)]);
    journal.head(&cx).await.unwrap();
    assert_eq!(double.calls(), [(Op::Tip, 304)]);
    assert_eq!(journal.append(&cx, &record(3, "n")).await.unwrap(), Appended::Done);
    assert_eq!(double.calls(), [(Op::Commit, 201), (Op::Move, 200)]);
    // what others did
    fill_one(open(&double).as_ref(), 4).await;
    double.calls();
    assert_eq!(journal.load(&cx, 4).await.unwrap().len(), 1);
    assert_eq!(double.ops(), [Op::Tip, Op::List]);

    // a new process: the head, and from its `opened` on
    let journal = open(&double);
    journal.head(&cx).await.unwrap();
    assert_eq!(double.ops(), [Op::Tip, Op::List]);
    assert_eq!(journal.load(&cx, 2).await.unwrap().len(), 3);
    assert_eq!(double.calls(), [(Op::Tip, 304)]);
}

#[tokio::test]
async fn a_long_journal_is_read_a_hundred_records_at_a_time() {
    let double = Double::start();
    let text = serde_json::to_string(&record(0, "n")).unwrap();
    let message = |seq: u64| {
        let text = text.replace("\"seq\":0", &format!("\"seq\":{seq}"));
        format!("shop/production #{seq} lease\n\nrun x\n\n{text}\n")
    };
    rewrite(&double, &(1..=250).map(message).collect::<Vec<_>>());
    let journal = open(&double);
    assert_eq!(journal.head(&within(30)).await.unwrap().unwrap().seq, 250);
    assert_eq!(double.ops(), [Op::Tip, Op::List]);
    assert_eq!(journal.load(&within(30), 160).await.unwrap().len(), 91);
    assert_eq!(double.ops(), [Op::Tip]);
    assert_eq!(journal.load(&within(30), 1).await.unwrap().len(), 250);
    assert_eq!(double.ops(), [Op::Tip, Op::List, Op::List]);
}

#[tokio::test]
async fn records_change_no_file_and_share_no_history_with_the_code() {
    let double = Double::start();
    let before = double.state().repository.reference("refs/heads/main");
    fill(open(&double).as_ref(), 3).await;
    let commits = log(&double);
    assert_eq!(commits.iter().map(|c| c.parents.len()).collect::<Vec<_>>(), [1, 1, 0]);
    let state = double.state();
    assert_eq!(state.repository.reference("refs/heads/main"), before);
    for commit in &commits {
        let files = state.repository.git(&["ls-tree", "-r", "--name-only", &commit.tree], b"").unwrap();
        assert_eq!(files, "README.md");
        // other services that build what is pushed leave it alone
        assert!(commit.message.contains("[skip ci]"), "{}", commit.message);
    }
}

#[tokio::test]
async fn of_two_runs_that_know_the_same_head_one_gets_the_number() {
    let double = Double::start();
    fill(open(&double).as_ref(), 1).await;
    let (one, other) = (open(&double), open(&double));
    for journal in [&one, &other] {
        assert_eq!(journal.head(&within(30)).await.unwrap().unwrap().seq, 1);
    }
    double.calls();
    let (mine, rival) = (record(2, "mine"), record(2, "rival"));
    let (first, second) = tokio::join!(async { one.append(&within(30), &mine).await.unwrap() }, async {
        other.append(&within(30), &rival).await.unwrap()
    });
    let moves: Vec<u16> = double.calls().iter().filter(|(op, _)| *op == Op::Move).map(|c| c.1).collect();
    assert_eq!(moves.len(), 2, "both asked GitHub: {moves:?}");
    let winner = match (first, second) {
        (Appended::Done, Appended::Conflict) => "mine",
        (Appended::Conflict, Appended::Done) => "rival",
        both => panic!("{both:?}"),
    };
    for journal in [one, other, open(&double)] {
        assert_eq!(journal.read(&within(30), 2).await.unwrap().unwrap().nonce, winner);
    }
}

#[tokio::test]
async fn of_two_runs_that_begin_a_journal_one_does() {
    let double = Double::start();
    let (one, other) = (open(&double), open(&double));
    for journal in [&one, &other] {
        assert_eq!(journal.head(&within(30)).await.unwrap(), None);
    }
    assert_eq!(one.append(&within(30), &record(1, "one")).await.unwrap(), Appended::Done);
    assert_eq!(other.append(&within(30), &record(1, "other")).await.unwrap(), Appended::Conflict);
    assert_eq!(other.read(&within(30), 1).await.unwrap().unwrap().nonce, "one");
}

async fn fill_one(journal: &dyn Journal, seq: u64) {
    assert_eq!(journal.append(&within(30), &record(seq, "n")).await.unwrap(), Appended::Done);
}

#[tokio::test]
async fn each_read_comes_through_each_trouble() {
    for trouble in Trouble::ALL {
        for op in [Op::Tip, Op::List] {
            let double = Double::start();
            fill(open(&double).as_ref(), 3).await;
            double.nth(op, 1, trouble);
            let journal = open(&double);
            if trouble == Trouble::SecondaryInWords {
                let fault = journal.head(&hurried(30)).await.unwrap_err();
                assert_eq!(fault.treat, Treat::Temporary, "{fault}");
                assert!(fault.detail.contains("wait 1 m 00 s"), "{fault}");
                continue;
            }
            let cx = hurried(30);
            let head = journal.head(&cx).await.unwrap_or_else(|e| panic!("{op:?} {trouble:?}: {e}"));
            assert_eq!(head.unwrap().seq, 3, "{op:?} {trouble:?}");
            assert_eq!(journal.load(&cx, 1).await.unwrap().len(), 3, "{op:?} {trouble:?}");
            assert_eq!(double.troubles(), [trouble], "{op:?}");
        }
    }
}

/// What an append came to, and whether the branch has the record.
async fn in_trouble(
    op: Op,
    seq: u64,
    trouble: Trouble,
) -> (Double, Box<dyn Journal>, Result<Appended, Fault>) {
    let double = Double::start();
    let journal = open(&double);
    fill(journal.as_ref(), seq - 1).await;
    double.nth(op, 1, trouble);
    let answer = journal.append(&hurried(20), &record(seq, "mine")).await;
    assert_eq!(double.troubles(), [trouble], "{op:?}");
    (double, journal, answer)
}

#[tokio::test]
async fn a_move_in_trouble_was_done_or_not_or_says_that_it_does_not_know() {
    use Trouble::{SecondaryInWords, SentTwice};
    for trouble in Trouble::ALL {
        for (op, seq) in [(Op::Move, 3), (Op::Create, 1)] {
            let (double, journal, answer) = in_trouble(op, seq, trouble).await;
            match trouble {
                SecondaryInWords => assert_eq!(answer.unwrap_err().treat, Treat::Temporary),
                // the second of the two was refused: the nonce tells that the record is ours
                SentTwice if op == Op::Create => assert_eq!(answer.unwrap(), Appended::Conflict),
                // the same commit once more is where the branch is already
                SentTwice => assert_eq!(answer.unwrap(), Appended::Done),
                _ if trouble.is_limit() => assert_eq!(answer.unwrap(), Appended::Done, "{trouble:?}"),
                _ => assert_eq!(answer.unwrap_err().treat, Treat::OutcomeUnknown, "{op:?} {trouble:?}"),
            }
            let done = trouble.is_done() || (trouble.is_limit() && trouble != SecondaryInWords);
            let found = open(&double).read(&within(30), seq).await.unwrap();
            assert_eq!(found.is_some(), done, "{op:?} {trouble:?}");
            if trouble == SecondaryInWords {
                continue;
            }
            // asked for again, as the engine does: it is there once
            let again = journal.append(&hurried(20), &record(seq, "mine")).await.unwrap();
            if !done {
                assert_eq!(again, Appended::Done, "{op:?} {trouble:?}");
            }
            assert_eq!(journal.read(&within(30), seq).await.unwrap().unwrap().nonce, "mine");
            assert_eq!(log(&double).len() as u64, seq, "{op:?} {trouble:?}");
        }
    }
}

#[tokio::test]
async fn objects_that_nobody_sees_are_made_again_after_each_trouble() {
    for trouble in Trouble::ALL.into_iter().filter(|t| *t != Trouble::SecondaryInWords) {
        for (op, seq) in [(Op::Commit, 2), (Op::Commit, 1), (Op::Plant, 1)] {
            let (double, _, answer) = in_trouble(op, seq, trouble).await;
            assert_eq!(answer.unwrap(), Appended::Done, "{op:?} {trouble:?}");
            assert_eq!(log(&double).len() as u64, seq);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_and_a_rival_in_between_make_no_second_record() {
    let (double, journal, answer) = in_trouble(Op::Move, 2, Trouble::ResetAfter).await;
    assert_eq!(answer.unwrap_err().treat, Treat::OutcomeUnknown);
    fill_one(open(&double).as_ref(), 3).await;
    assert_eq!(journal.append(&within(30), &record(2, "mine")).await.unwrap(), Appended::Conflict);
    assert_eq!(journal.read(&within(30), 2).await.unwrap().unwrap().nonce, "mine");
    assert_eq!(log(&double).len(), 3);
}

#[tokio::test]
async fn nothing_older_is_believed_than_what_this_process_wrote_or_was_told() {
    let double = Double::start();
    let (journal, rival) = (open(&double), open(&double));
    fill(journal.as_ref(), 2).await;
    assert_eq!(rival.head(&within(30)).await.unwrap().unwrap().seq, 2);

    // our own write
    double.lag(3);
    fill_one(journal.as_ref(), 3).await;
    double.calls();
    assert_eq!(journal.head(&hurried(30)).await.unwrap().unwrap().seq, 3);
    assert_eq!(double.ops(), [Op::Tip; 4]);

    // a conflict tells that the number is there before any read shows it
    assert_eq!(rival.head(&within(30)).await.unwrap().unwrap().seq, 3);
    double.lag(3);
    fill_one(journal.as_ref(), 4).await;
    assert_eq!(rival.append(&within(30), &record(4, "late")).await.unwrap(), Appended::Conflict);
    double.calls();
    assert_eq!(rival.read(&hurried(30), 4).await.unwrap().unwrap().nonce, "n");
    assert_eq!(double.ops(), [Op::Tip, Op::Tip, Op::Tip, Op::Tip, Op::List]);
}

#[tokio::test]
async fn reads_that_stay_behind_are_a_fault() {
    let double = Double::start();
    let journal = open(&double);
    fill(journal.as_ref(), 2).await;
    double.lag(1000);
    fill_one(journal.as_ref(), 3).await;
    let fault = journal.head(&hurried(30)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.detail.contains("record 3 was there"), "{fault}");
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>, words: &[&str]) {
    let fault = answer.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
    let hint = fault.hint.clone().unwrap_or_default();
    for word in words {
        assert!(fault.to_string().contains(word) || hint.contains(word), "{word}: {fault:?}");
    }
}

#[tokio::test]
async fn a_branch_that_was_rewritten_is_refused_by_whoever_knew_it() {
    let double = Double::start();
    let journal = open(&double);
    fill(journal.as_ref(), 3).await;
    let messages: Vec<String> = log(&double).into_iter().rev().map(|c| c.message).collect();
    // the same records in other commits
    rewrite(&double, &messages);
    refused(journal.head(&within(30)).await, &["record 3 is another one", "--to-baseline"]);
    // and more of them
    let journal = open(&double);
    assert_eq!(journal.head(&within(30)).await.unwrap().unwrap().seq, 3);
    let mut longer: Vec<String> = messages.iter().map(|m| m.replace("run ci/1", "run ci/2")).collect();
    longer.push(messages[2].replace("#3 ", "#4 ").replace("\"seq\":3", "\"seq\":4"));
    rewrite(&double, &longer);
    refused(journal.load(&within(30), 4).await, &["record 3 is another one", "rewritten"]);
    assert_eq!(open(&double).load(&within(30), 1).await.unwrap().len(), 4);
    // gone
    let journal = open(&double);
    journal.head(&within(30)).await.unwrap();
    double.state().repository.delete(BRANCH);
    refused(journal.append(&within(30), &record(5, "n")).await, &["the branch is gone", "activity view"]);
    refused(journal.head(&hurried(30)).await, &["the branch is gone"]);
}

#[tokio::test]
async fn a_commit_of_somebody_else_on_the_branch_is_refused_and_named() {
    for message in ["fix: a typo", "Merge branch 'main' #3 into x", "shop #3 x\n\ny\n\n{}"] {
        let double = Double::start();
        let journal = open(&double);
        fill(journal.as_ref(), 2).await;
        let sha = {
            let state = double.state();
            let (head, main) = (
                state.repository.reference(BRANCH).unwrap(),
                state.repository.reference("refs/heads/main").unwrap(),
            );
            let tree = state.repository.git(&["rev-parse", &format!("{head}^{{tree}}")], b"").unwrap();
            let parents: &[&str] = if message.starts_with("Merge") { &[&head, &main] } else { &[&head] };
            let sha = state.repository.commit(&tree, parents, message).unwrap();
            state.repository.update(BRANCH, &sha, &head).unwrap();
            sha
        };
        for journal in [&journal, &open(&double)] {
            let words = [&sha[..10], "is not a record of tidegate", "who pushed", "--to-baseline"];
            refused(journal.head(&within(30)).await, &words);
        }
        // the number is taken all the same: nothing is written on top
        refused(open(&double).append(&within(30), &record(3, "n")).await, &["is not a record"]);
        assert_eq!(journal.append(&within(30), &record(3, "n")).await.unwrap(), Appended::Conflict);
    }
}

#[tokio::test]
async fn a_number_that_would_leave_a_gap_is_refused() {
    let double = Double::start();
    fill(open(&double).as_ref(), 2).await;
    refused(open(&double).append(&within(30), &record(5, "n")).await, &["record 5 would follow record 2"]);
    assert_eq!(log(&double).len(), 2);
}

#[tokio::test]
async fn a_record_too_large_for_a_message_is_refused_before_anything_is_sent() {
    let double = Double::start();
    let mut large: Record = record(1, "n");
    large.holder.process = "x".repeat(2 * 1024 * 1024);
    refused(open(&double).append(&within(30), &large).await, &["a commit takes", "s3"]);
    assert_eq!(double.ops(), [Op::Tip]);
}

#[tokio::test]
async fn what_the_repository_does_not_allow_is_told_with_what_to_do() {
    let double = Double::start();
    double.state().read_only = true;
    let words = ["`contents: write`", "permissions: {contents: write}", "GitHub accepts contents: write"];
    refused(open(&double).append(&within(30), &record(1, "n")).await, &words);
    double.state().read_only = false;
    fill(open(&double).as_ref(), 1).await;
    double.state().rule =
        Some("Repository rule violations found\n\nChanges must be made through a pull request.");
    refused(
        open(&double).append(&within(30), &record(2, "n")).await,
        &["pull request", "leave `tidegate/shop/production` out"],
    );

    let empty = Double::of(Repository::empty());
    refused(open(&empty).head(&within(30)).await, &["empty", "push one first"]);

    // a name that another branch stands in the way of
    let double = Double::start();
    {
        let state = double.state();
        let main = state.repository.reference("refs/heads/main").unwrap();
        state.repository.create("refs/heads/tidegate", &main).unwrap();
    }
    refused(open(&double).append(&within(30), &record(1, "n")).await, &["Reference update failed"]);
    let journal = open_with(&double, r#"{"branch": "releases"}"#).unwrap();
    fill_one(journal.as_ref(), 1).await;
    assert!(double.state().repository.reference("refs/heads/releases/shop/production").is_some());
}

#[test]
fn names_that_no_branch_can_have_are_refused_at_once() {
    let double = Double::start();
    for name in ["a..b", "a b", "a~", "a/.b", "x.lock", "-a", "refs/heads", "a//b", "a\\b"] {
        let config = serde_json::json!({"branch": name}).to_string();
        let why = open_with(&double, &config).map(|_| ()).unwrap_err();
        assert!(why.contains("cannot be the name of a branch"), "{name}: {why}");
    }
}
