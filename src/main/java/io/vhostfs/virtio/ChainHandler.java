package io.vhostfs.virtio;

/** Takes the descriptor chains of one queue, on the reactor that polls the queue. */
@FunctionalInterface
public interface ChainHandler {
    /**
     * One chain became available. The handler owns it until it calls {@link SplitVirtqueue#pushUsed} with it, exactly
     * once, on the same reactor: from within this call or later, in any order.
     */
    void onChain(DescriptorChain chain);
}
