package io.vhostfs.nvme.model;

/** What a test has a {@link ModelController} do wrong. */
public interface ModelScript {
    /** The command is carried out. */
    int CARRY_OUT = -1;

    /** The command is swallowed: it ends when it is aborted, or with a reset. */
    int HOLD = -2;

    /** A drive without faults. */
    ModelScript FAULTLESS = new ModelScript() {};

    /** {@link #CARRY_OUT}, {@link #HOLD}, or the status to complete it with. Queue 0 is the admin queue. */
    default int onCommand(int queueId, long commandAddress) {
        return CARRY_OUT;
    }

    /** May change 4096 bytes of identify data before they are sent. */
    default void onIdentify(int cns, long dataAddress) {}
}
