package io.vhostfs.nvme.model;

import java.util.ArrayList;
import java.util.List;

/** What a {@link ModelController} is to be: a usual drive, unless said otherwise. One thread, before it is made. */
public final class ModelConfig {
    /** One namespace. */
    record ModelNamespace(int blockBytes, long blocks) {}

    final List<ModelNamespace> namespaces = new ArrayList<>();
    int mdts = 5;
    int queuePairs = 4;
    int maxQueueEntries = 1024;
    int doorbellStrideShift;
    int sgls;
    boolean shadowDoorbells;
    boolean volatileCache = true;
    boolean writeZeroes = true;
    boolean deallocate = true;
    int atomicBlocks = 8;
    boolean movesData = true;
    boolean iommu = true;
    boolean interrupts;

    public ModelConfig namespace(int blockBytes, long blocks) {
        namespaces.add(new ModelNamespace(blockBytes, blocks));
        return this;
    }

    /** Largest transfer as a power of two of pages; 0 for none. */
    public ModelConfig mdts(int shift) {
        mdts = shift;
        return this;
    }

    public ModelConfig queuePairs(int count) {
        queuePairs = count;
        return this;
    }

    public ModelConfig maxQueueEntries(int entries) {
        maxQueueEntries = entries;
        return this;
    }

    public ModelConfig doorbellStrideShift(int shift) {
        doorbellStrideShift = shift;
        return this;
    }

    public ModelConfig withSgls() {
        sgls = 1;
        return this;
    }

    public ModelConfig withShadowDoorbells() {
        shadowDoorbells = true;
        return this;
    }

    public ModelConfig withoutVolatileCache() {
        volatileCache = false;
        return this;
    }

    public ModelConfig withoutWriteZeroes() {
        writeZeroes = false;
        return this;
    }

    public ModelConfig withoutDeallocate() {
        deallocate = false;
        return this;
    }

    public ModelConfig atomicBlocks(int count) {
        atomicBlocks = count;
        return this;
    }

    /** Completions raise interrupts where the driver asks for them. */
    public ModelConfig withInterrupts() {
        interrupts = true;
        return this;
    }

    /** Memory is mapped by hugepages, none of them beside the next. */
    public ModelConfig withoutIommu() {
        iommu = false;
        return this;
    }

    /** Reads and writes transfer nothing: for measuring the queues alone. */
    public ModelConfig withoutData() {
        movesData = false;
        return this;
    }
}
