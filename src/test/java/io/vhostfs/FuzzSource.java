package io.vhostfs;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import java.util.Random;

/** Where the choices of a fuzz test come from: a fuzzer, or a seed for runs without one. */
public interface FuzzSource {
    int number(int min, int max);

    long any();

    boolean hasMore();

    static FuzzSource of(FuzzedDataProvider data) {
        return new FuzzSource() {
            @Override
            public int number(int min, int max) {
                return data.consumeInt(min, max);
            }

            @Override
            public long any() {
                return data.consumeLong();
            }

            @Override
            public boolean hasMore() {
                return data.remainingBytes() > 0;
            }
        };
    }

    /** One that says {@code times} times that it has more. */
    static FuzzSource of(Random random, int times) {
        int[] left = {times};
        return new FuzzSource() {
            @Override
            public int number(int min, int max) {
                return random.nextInt(min, max + 1);
            }

            @Override
            public long any() {
                return random.nextLong();
            }

            @Override
            public boolean hasMore() {
                return left[0]-- > 0;
            }
        };
    }
}
