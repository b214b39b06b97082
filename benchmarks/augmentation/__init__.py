"""Is a classifier better for generated pictures of its rare classes?

    python -m benchmarks.augmentation.measure digits FOLDER [--subsets N]
    python -m benchmarks.augmentation.measure chest FOLDER --data pneumoniamnist.npz
    python -m benchmarks.augmentation.measure whole-chest FOLDER --data pneumoniamnist.npz --subsets 1 --seeds 5

Of each data set small subsets are drawn in which some classes are twenty times rarer than the others. On a subset
alone, never on what the classifier is judged by, `ganrt train medical` trains a generator, with which `ganrt augment`
fills the rare classes up. Then the same classifier is trained for the same number of steps on

    real        the subset as it is
    repeated    the subset, pictures of the rare classes repeated until classes are of one size
    generated   the subset, filled up with generated pictures until classes are of one size

Every one of them shifts, turns and scales what it is shown at random: generated pictures must be worth more than that.
It is judged by the balanced accuracy on the data set's own test pictures, the mean of each class's. Intervals are
Student's, 95 %, over subsets, of the differences within a subset: the seed of a classifier matters less than which few
pictures it saw. The whole chest set, in which the rare class is nine times rarer, is one subset: there intervals are
over classifiers' seeds, and say nothing of another generator.

FOLDER keeps everything; the same command goes on where it was stopped, and takes FOLDER/subset0/generator.ganrt where
it is there. Hours on one core.
"""
