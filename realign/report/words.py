"""Plain words for a reader who was not there: what each figure means."""

# A metric's full name, or else the part of it before a dot -> (label, meaning).
METRICS: dict[str, tuple[str, str]] = {
    "accuracy_by_type": ("Accuracy by type", "Reward accuracy on the pairs of one preference type."),
    "adversarial_accuracy": ("Adversarial accuracy",
                             "Reward accuracy on pairs made to fool the reward model."),
    "agreement_rate": ("Agreement rate",
                       "Share of pairs that a second, independent scorer orders the same way."),
    "attempts": ("Attempts", "Trainings tried before one was kept; each retry applied a remedy."),
    "base_heldout_loss": ("Held-out loss of the base", "The same loss for the model before any training."),
    "base_correctness": ("Base model right", "How often the base model's sampled answers to the held-out prompts are "
                         "right; where always, no gain can show."),
    "behaviour_gain": ("More often than the base", "Share of sampled answers that show a behaviour, minus the base "
                       "model's."),
    "best_round": ("Best round", "The round whose model was kept."),
    "capability": ("Capability", "Mean score, 0 to 1, on the held-out examples of one skill."),
    "consistency": ("Consistency", "Chance that the reward sets two wordings of one answer closer together "
                    "than two answers of different quality (AUROC)."),
    "undecided": ("Undecided answers", "Share of examples of which the base model's answer or this model's is neither "
                  "right nor wrong to the verifier; it scores 0, and more than 5% block."),
    "undecided_sampled": ("Undecided samples", "Share of sampled answers, the base model's and this model's, that are "
                          "neither right nor wrong to the verifier; they count as wrong, and more than 5% block."),
    "coverage": ("Evaluation coverage", "Share of capabilities' slices with enough examples, and a base model good "
                 "enough, to show a loss."),
    "data_quality": ("Data quality", "Share of rows that pass every row check, times label agreement."),
    "decontamination": ("Decontamination", "Share of rows that overlap no evaluation row; 1 is clean."),
    "distinct_ratio": ("Distinct answers against the base", "Share of distinct answers divided by the base model's; "
                       "1 is as many."),
    "distinct_share": ("Distinct answers", "Share of answers that no earlier prompt got."),
    "ending_excess": ("Commonest ending against the base", "Share of answers that end in the same three words, minus "
                      "the base model's."),
    "ending_share": ("Commonest ending", "Share of answers that end in the same three words."),
    "entropy": ("Entropy", "How varied the model's next words are, nats a token. "
                "Too low: it repeats itself; too high: it rambles."),
    "gaps": ("Gap", "Share right of the base model where it is below 0.92, the target of task accuracy."),
    "heldout_loss": ("Held-out loss", "Mean negative log-likelihood of unseen answers, nats a token; "
                     "lower is better."),
    "heldout_loss_drop": ("Held-out loss drop", "By how much the held-out loss fell below the base model's."),
    "kappa": ("Cohen's kappa", "Agreement of the two scorers beyond chance; 1 is full agreement."),
    "kl": ("KL divergence", "How far the model moved from its reference, nats a token; 0 is not at all."),
    "length_bias": ("Length bias", "Correlation of reward with answer length at equal quality; 0 is none."),
    "length_ratio": ("Length against the base", "Mean words of an answer divided by the base model's."),
    "margin_gap_correlation": ("Margin–gap correlation",
                               "Whether the reward margin grows with the true gap of a pair."),
    "mean_words": ("Mean length", "Mean words of an answer."),
    "paid": ("Reward paid for", "How much more reward an answer earns that shows a behaviour, among answers of one "
             "model to prompts of one capability."),
    "pairs": ("Pairs", "Preference pairs kept."),
    "phrase_excess": ("Commonest phrase against the base", "Share of answers that hold the same four words in a row, "
                      "minus the base model's."),
    "phrase_share": ("Commonest phrase", "Share of answers that hold the same four words in a row."),
    "preference_gap": ("Preference gap", "Mean score of the better answers minus that of the worse ones."),
    "ood_accuracy": ("Out-of-distribution accuracy", "Reward accuracy on unfamiliar pairs."),
    "regressions": ("Regressions", "Capabilities that fell by more than 5%."),
    "retention": ("Retention", "Score after divided by score before, for one capability; 1 is unchanged."),
    "slice_retention": ("Retention of a slice", "The same for one named part of a capability, of 60 examples or more."),
    "retention_mean": ("Mean retention", "Score after divided by score before, mean over the capabilities."),
    "retention_worst": ("Worst retention", "Score after divided by score before, in the capability that "
                        "kept least of it."),
    "reward_accuracy": ("Reward accuracy", "Share of held-out pairs that the reward model ranks right."),
    "reward_accuracy_drop": ("Reward accuracy drop", "How much of its accuracy the reward model lost."),
    "reward_after": ("Reward after", "Mean reward on held-out prompts after the training."),
    "reward_before": ("Reward before", "Mean reward on held-out prompts before the training."),
    "reward_gain": ("Reward gain", "Mean reward after minus before, on the same held-out prompts."),
    "rolled_back": ("Rounds rolled back", "Rounds that came out worse and were undone."),
    "rounds": ("Rounds", "Rounds of iteration that were run."),
    "rows": ("Rows", "Rows read, kept and rejected."),
    "score_gain": ("Score gain", "The scorer's mean score after minus before, on the same held-out prompts."),
    "task_accuracy": ("Task accuracy", "Share right, mean over the capabilities of the task."),
    "train_accuracy": ("Training accuracy", "Share of training pairs that the reward model ranks right."),
    "train_validation_gap": ("Train–validation gap",
                             "Training accuracy minus validation accuracy; a large gap is overfitting."),
    "validation_accuracy": ("Validation accuracy",
                            "Share of held-out pairs that the reward model ranks right; 0.5 is guessing."),
    "validation_loss": ("Validation loss", "Loss of the reward model on held-out pairs; lower is better."),
    "win_rate": ("Win rate on preference", "Share of held-out prompts on which the scorer prefers the model's sampled "
                 "answer to the base model's; ties count half, 0.5 is no better."),
    "win_rate_correctness": ("Win rate on correctness", "The same where only right or wrong counts, as the verifier "
                             "sees it."),
}

# How a gate's column such as `win_rate.low` reads.
PARTS = {"n": "number of examples", "low": "lower end of the interval", "high": "upper end of the interval"}

TIERS = {
    "HIGH": "Accepted",
    "MEDIUM": "Accepted with a warning",
    "REJECT": "Blocked: the pipeline stops here",
}

# Figures for the top of the page, the most telling first; each from the last stage that has it.
TELLING = ("retention_worst", "win_rate_correctness", "win_rate", "kl", "score_gain", "validation_accuracy",
           "preference_gap", "pairs", "heldout_loss_drop")


def label(metric: str) -> str:
    """A metric's name for people: `capability.facts` is "Capability: facts"."""
    if metric in METRICS:
        return METRICS[metric][0]
    if metric.endswith("]"):  # a check of rows: `pairs[chosen]`
        table, _, column = metric[:-1].partition("[")
        return "Rows of " + table if column == "rows" else f"Rows of {table}: {column}"
    name, _, part = metric.rpartition(".")
    if part in PARTS and name:
        return f"{label(name)}, {PARTS[part]}"
    head, _, tail = metric.partition(".")
    if tail and head in METRICS:
        return f"{METRICS[head][0]}: {tail.replace('_', ' ')}"
    words = metric.replace("_", " ").replace(".", ": ")
    return words[:1].upper() + words[1:]


def meaning(metric: str) -> str:
    """One sentence on what a metric measures; empty where none is written down."""
    return METRICS.get(metric, METRICS.get(metric.partition(".")[0], ("", "")))[1]
