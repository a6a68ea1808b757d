package io.vhostfs.sim;

import java.util.Map;

/**
 * A guest that works on the file system, with several requests in flight, and knows what each answer must be.
 *
 * <p>Invariant: what is checked is certain, for the order of the answers says who came first. One source of random numbers
 * draws what is done, and whom it concerns. One thread.
 */
final class SimGuest {
    private final SimPlan plan;
    private final SimRandom random;
    private final GuestView view;
    private final GuestRequests requests;
    private final NameOperations names;
    private final ContentOperations contents;
    private final AttributeOperations attributes;

    SimGuest(SimPlan plan, SimDriver driver, SimRandom random, TraceHash trace, History history) {
        this.plan = plan;
        this.random = random;
        view = new GuestView(random, history);
        requests = new GuestRequests(plan, driver, trace, view);
        names = new NameOperations(view, requests, random);
        contents = new ContentOperations(plan, view, requests, random);
        attributes = new AttributeOperations(view, requests, random);
    }

    /** Its requests and their answers. */
    GuestRequests requests() {
        return requests;
    }

    History history() {
        return view.history();
    }

    void remember(String what) {
        requests.remember(what);
    }

    /** After a mount: what was found is what there is. */
    void restart(Observation found) {
        view.restart(found);
    }

    /** The target is gone: nothing in flight will be answered. */
    void forgetCalls() {
        requests.abandon();
        contents.abandon();
    }

    /** Whether the inode may hold bytes that name another one, or another place. */
    boolean wasCopiedInto(long inode) {
        return contents.wasCopiedInto(inode);
    }

    Map<Long, FileModel> files() {
        return view.files();
    }

    /** Starts something. */
    void issue() {
        for (int i = 0; i < 20; i++) {
            if (tryIssue()) {
                return;
            }
        }
    }

    private boolean tryIssue() {
        if (random.percent(plan.syncPercent())) {
            return attributes.sync();
        }
        if (plan.fillsLog() && random.percent(60)) {
            return attributes.setxattr();
        }
        boolean crowded = view.knownInodes() > plan.maxInodes();
        int what = random.below(crowded ? 100 : 90);
        if (what < 9) {
            return crowded ? names.unlink() : random.oneIn(6) ? names.tmpfile() : names.create();
        } else if (what < 12) {
            return crowded ? names.rmdir() : names.mkdir();
        } else if (what < 14) {
            return crowded ? names.unlink() : names.mknod();
        } else if (what < 16) {
            return crowded ? names.unlink() : names.symlink();
        } else if (what < 18) {
            return names.link();
        } else if (what < 22) {
            return names.unlink();
        } else if (what < 24) {
            return names.rmdir();
        } else if (what < 30) {
            return names.rename();
        } else if (what < 36) {
            return contents.copy();
        } else if (what < 47) {
            return contents.write();
        } else if (what < 53) {
            return contents.truncate();
        } else if (what < 59) {
            return contents.fallocate();
        } else if (what < 63) {
            return contents.open();
        } else if (what < 67) {
            return contents.release();
        } else if (what < 71) {
            return attributes.setxattr();
        } else if (what < 72) {
            return attributes.removexattr();
        } else if (what < 74) {
            return attributes.chmod();
        } else if (what < 80) {
            return contents.read();
        } else if (what < 83) {
            return names.readdir();
        } else if (what < 85) {
            return names.lookup();
        } else if (what < 86) {
            return attributes.getattr();
        } else if (what < 87) {
            return contents.lseek();
        } else if (what < 90) {
            return names.forget();
        }
        return names.unlink();
    }
}
