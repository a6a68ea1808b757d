package io.vhostfs.frontend;

import java.util.ArrayList;
import java.util.List;

/**
 * What one measurement does: a cycle of requests that each of {@code queueDepth} slots repeats; one cycle is one operation.
 *
 * @param name how it is named on the command line and in reports, with the queue depth
 * @param queueDepth cycles in flight
 * @param blockBytes bytes that a cycle reads or writes, 0 for none
 * @param steps the requests of a cycle
 */
public record BenchWorkload(String name, int queueDepth, int blockBytes, List<Step> steps) {
    /** A request and what of it varies from one time to the next. */
    enum Step {
        READ_RANDOM,
        READ_NEXT,
        WRITE_RANDOM,
        WRITE_NEXT,
        FSYNC,
        GETATTR,
        LOOKUP,
        OPEN,
        CREATE,
        RELEASE,
        UNLINK,
        MKDIR,
        RMDIR,
        RENAME,
        RENAME_BACK,
        READDIRPLUS
    }

    /** Requests larger than the back end takes cannot be sent; its limit is asked of INIT. */
    static final int MAX_BLOCK_BYTES = 1 << 20;

    static final int MAX_QUEUE_DEPTH = 128;

    private static final int RANDOM_BLOCK_BYTES = 4 << 10;

    /** The buffer that Linux's readdir asks for. */
    static final int DIRECTORY_BUFFER_BYTES = 4 << 10;

    /** Everything that is measured, in the order of the report. */
    public static List<BenchWorkload> all() {
        List<BenchWorkload> all = new ArrayList<>();
        for (int depth : new int[] {1, 32, 128}) {
            all.add(of("randread-4k", depth, RANDOM_BLOCK_BYTES, Step.READ_RANDOM));
        }
        for (int depth : new int[] {1, 32, 128}) {
            all.add(of("randwrite-4k", depth, RANDOM_BLOCK_BYTES, Step.WRITE_RANDOM));
        }
        all.add(of("seqread-128k", 8, 128 << 10, Step.READ_NEXT));
        all.add(of("seqwrite-128k", 8, 128 << 10, Step.WRITE_NEXT));
        all.add(of("seqread-1m", 4, 1 << 20, Step.READ_NEXT));
        all.add(of("seqwrite-1m", 4, 1 << 20, Step.WRITE_NEXT));
        for (int depth : new int[] {1, 32}) {
            all.add(of("write4k+fsync", depth, RANDOM_BLOCK_BYTES, Step.WRITE_RANDOM, Step.FSYNC));
        }
        for (int depth : new int[] {1, 32}) {
            all.add(of("getattr", depth, 0, Step.GETATTR));
        }
        for (int depth : new int[] {1, 32}) {
            all.add(of("lookup", depth, 0, Step.LOOKUP));
        }
        all.add(of("open+release", 1, 0, Step.OPEN, Step.RELEASE));
        for (int depth : new int[] {1, 8, 32}) {
            all.add(of("create+unlink", depth, 0, Step.CREATE, Step.RELEASE, Step.UNLINK));
        }
        all.add(of("mkdir+rmdir", 1, 0, Step.MKDIR, Step.RMDIR));
        all.add(of("rename+back", 1, 0, Step.RENAME, Step.RENAME_BACK));
        all.add(of("readdirplus", 1, 0, Step.READDIRPLUS));
        return all;
    }

    /** The name with the queue depth: unique. */
    public String id() {
        return name + "-qd" + queueDepth;
    }

    private static BenchWorkload of(String name, int queueDepth, int blockBytes, Step... steps) {
        return new BenchWorkload(name, queueDepth, blockBytes, List.of(steps));
    }
}
