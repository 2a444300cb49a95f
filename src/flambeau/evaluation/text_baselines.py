"""What a model of texts must beat: words weighed by how rare they are, and a linear model on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.evaluation.baselines import fit_predict, predict_frequencies, thin_rows

MOST_TEXTS = 50_000
MOST_TERMS = 20_000
LETTERS_READ = 20_000
ITERATIONS = 100
# Weaker regularisation than scikit-learn's default, which is too strong for vectors of length 1.
INVERSE_REGULARISATION = 10.0


def fit_text_baselines(
    task: str,
    train_texts: Sequence[str],
    train_targets: np.ndarray,
    test_texts: Sequence[str],
    *,
    outputs: int,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Fit the baselines of texts on the training rows and predict the test rows.

    Words and pairs of words are weighed by TF-IDF (Spärck Jones 1972); a logistic regression answers, or a ridge
    regression for numbers.

    Args:
        task: "classification", "multilabel" or "regression".
        train_texts, test_texts: one a row; of a text, the first 20,000 characters are read.
        train_targets: (n,) class indices; (n, labels) of 0 and 1; or (n,) numbers.
        outputs: number of classes or labels; 1 for regression.
        seed: of thinning.

    Returns:
        Name → predictions on the test rows, and sentences about what was thinned.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    naive = "mean" if task == "regression" else "majority"
    predictions = {naive: predict_frequencies(task, train_targets, len(test_texts), outputs)}
    notes: list[str] = []
    name = "TF-IDF + ridge regression" if task == "regression" else "TF-IDF + logistic regression"
    rows = thin_rows(len(train_targets), MOST_TEXTS, seed, name, notes)
    words = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        max_features=MOST_TERMS,
        token_pattern=r"(?u)\b\w+\b",
        dtype=np.float32,
    )
    try:
        train = words.fit_transform([train_texts[row][:LETTERS_READ] for row in rows])
    except ValueError:
        # scikit-learn's word for texts without a single word
        return predictions, ["There is no word that a classical model could use."]
    test = words.transform([text[:LETTERS_READ] for text in test_texts])
    ridge, logistic = (
        (lambda targets: Ridge(alpha=1.0)),
        (lambda targets: LogisticRegression(C=INVERSE_REGULARISATION, max_iter=ITERATIONS)),
    )
    make = ridge if task == "regression" else logistic
    predictions[name] = fit_predict(task, make, train, train_targets[rows], test, outputs)
    return predictions, notes
