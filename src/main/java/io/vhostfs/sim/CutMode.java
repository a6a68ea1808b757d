package io.vhostfs.sim;

/** How a power cut chooses among what is not durable: extremes find bugs that even chances do not. */
enum CutMode {
    NOTHING(0, false),
    EVERYTHING(100, false),
    SOME_WRITES(50, false),
    FEW_WRITES(10, false),
    MOST_WRITES(90, false),
    SOME_UNITS(50, true),
    FEW_UNITS(5, true),
    MOST_UNITS(95, true);

    private static final CutMode[] ALL = values();

    private final int percent;
    private final boolean byUnit;

    CutMode(int percent, boolean byUnit) {
        this.percent = percent;
        this.byUnit = byUnit;
    }

    static CutMode draw(SimRandom random) {
        return ALL[random.below(ALL.length)];
    }

    /** Whether each atomic unit has its own fate; else each write. */
    boolean isByUnit() {
        return byUnit;
    }

    boolean keepsWrite(SimRandom random) {
        return random.percent(percent);
    }

    boolean keepsUnit(SimRandom random) {
        return random.percent(percent);
    }
}
