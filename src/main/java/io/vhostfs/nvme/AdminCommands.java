package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeException.Kind;
import java.util.ArrayList;
import java.util.List;

/** The admin commands that we send, each waited for; what comes back is checked. Under the controller's lock only. */
final class AdminCommands {
    /** More namespaces than any drive has; one list page names as many. */
    static final int MAX_NAMESPACES = 1024;

    private static final int MAX_ERRORS = 64;

    private final String name;
    private final AdminQueue queue;
    private final long timeoutNs;

    AdminCommands(String name, AdminQueue queue, long timeoutNs) {
        this.name = name;
        this.queue = queue;
        this.timeoutNs = timeoutNs;
    }

    private void run(String what) throws NvmeException {
        int status = queue.execute(timeoutNs);
        if (status != NvmeStatus.SUCCESS) {
            throw new NvmeException(
                    Kind.FAILED,
                    name + ": refuses " + what + " with " + NvmeStatus.describe(status)
                            + "; remedy: update its firmware, or choose another drive");
        }
    }

    ControllerInfo identifyController() throws NvmeException {
        Commands.identify(queue.command(), NVME_CNS_CONTROLLER, 0, queue.dataIova());
        run("to identify itself");
        return ControllerInfo.read(queue.dataAddress());
    }

    List<NamespaceInfo> identifyNamespaces(ControllerInfo controller) throws NvmeException {
        Commands.identify(queue.command(), NVME_CNS_ACTIVE_NAMESPACES, 0, queue.dataIova());
        run("to list its namespaces");
        List<Integer> ids = new ArrayList<>();
        for (int i = 0; i < MAX_NAMESPACES; i++) {
            int nsid = Memory.getInt(queue.dataAddress() + 4L * i);
            int before = ids.isEmpty() ? 0 : ids.getLast();
            if (Integer.compareUnsigned(nsid, before) <= 0) {
                break;
            }
            ids.add(nsid);
        }
        List<NamespaceInfo> namespaces = new ArrayList<>();
        for (int nsid : ids) {
            Commands.identify(queue.command(), NVME_CNS_NAMESPACE, nsid, queue.dataIova());
            run("to identify namespace " + nsid);
            namespaces.add(NamespaceInfo.read(nsid, queue.dataAddress(), controller));
        }
        return List.copyOf(namespaces);
    }

    /** Asks for {@code wanted} queue pairs; returns how many there are, at most that. */
    int requestQueuePairs(int wanted) throws NvmeException {
        Commands.setFeatures(queue.command(), NVME_FEATURE_NUMBER_OF_QUEUES, wanted - 1 | (wanted - 1) << 16);
        run("I/O queues");
        int result = queue.result();
        return Math.min(wanted, Math.min(result & 0xffff, result >>> 16) + 1);
    }

    boolean isVolatileCacheOn() throws NvmeException {
        Commands.getFeatures(queue.command(), NVME_FEATURE_VOLATILE_WRITE_CACHE);
        // One that does not say is on.
        return queue.execute(timeoutNs) != NvmeStatus.SUCCESS || (queue.result() & 1) != 0;
    }

    /** Asks to be told of what happens; a drive that does not know some of it is asked for less. */
    void enableEvents() throws NvmeException {
        Commands.setFeatures(queue.command(), NVME_FEATURE_ASYNC_EVENTS, NVME_ASYNC_SMART | NVME_ASYNC_NAMESPACE);
        if (queue.execute(timeoutNs) != NvmeStatus.SUCCESS) {
            Commands.setFeatures(queue.command(), NVME_FEATURE_ASYNC_EVENTS, NVME_ASYNC_SMART);
            queue.execute(timeoutNs);
        }
        for (int i = 0; i < AdminQueue.MAX_EVENT_REQUESTS; i++) {
            queue.requestEvent();
        }
    }

    /** Whether the drive takes shadow doorbells. */
    boolean useShadowDoorbells() throws NvmeException {
        Memory.zero(queue.shadowAddress(), 2L * NVME_PAGE_BYTES);
        Commands.shadowDoorbells(queue.command(), queue.shadowIova(), queue.shadowIova() + NVME_PAGE_BYTES);
        return queue.execute(timeoutNs) == NvmeStatus.SUCCESS;
    }

    void create(QueuePair pair, int vector) throws NvmeException {
        Commands.createCompletionQueue(queue.command(), pair.id(), pair.entries(), pair.cqIova(), vector);
        run("completion queue " + pair.id());
        Commands.createSubmissionQueue(queue.command(), pair.id(), pair.entries(), pair.sqIova());
        run("submission queue " + pair.id());
    }

    /** Whether the drive says that it has aborted the command. */
    boolean abort(int queueId, int slot) throws NvmeException {
        Commands.abort(queue.command(), queueId, slot);
        return queue.execute(timeoutNs) == NvmeStatus.SUCCESS && (queue.result() & 1) == 0;
    }

    SmartLog smart() throws NvmeException {
        Commands.getLogPage(queue.command(), NVME_LOG_SMART, queue.dataIova(), SmartLog.BYTES);
        run("its SMART log");
        return SmartLog.read(queue.dataAddress());
    }

    /** The newest errors first. */
    List<ErrorLogEntry> errors() throws NvmeException {
        int bytes = NVME_PAGE_BYTES;
        Memory.zero(queue.dataAddress(), bytes);
        Commands.getLogPage(queue.command(), NVME_LOG_ERRORS, queue.dataIova(), bytes);
        run("its error log");
        List<ErrorLogEntry> entries = new ArrayList<>();
        for (int i = 0; i < MAX_ERRORS; i++) {
            ErrorLogEntry entry = ErrorLogEntry.read(queue.dataAddress() + (long) i * ErrorLogEntry.BYTES);
            if (entry.count() == 0) {
                break;
            }
            entries.add(entry);
        }
        return entries;
    }

    /** Reads a log for the side effect that its next event may come. */
    void acknowledge(int log) throws NvmeException {
        Commands.getLogPage(queue.command(), log, queue.dataIova(), NVME_PAGE_BYTES);
        queue.execute(timeoutNs);
    }
}
